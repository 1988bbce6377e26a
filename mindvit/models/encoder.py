"""The stack of Transformer blocks."""

from mindspore import nn

from mindvit.models.attention import Attention
from mindvit.models.dropout import Dropout
from mindvit.models.feed_forward import FeedForward
from mindvit.models.local_attention import LocalAttention
from mindvit.models.pos_embed import RelativeBias
from mindvit.models.residual import PreNorm, ResidualCell
from mindvit.models.vit_config import ViTConfig


class Block(nn.SequentialCell):
    """A pre-norm block: ``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``.

    Inputs: x, (batch, tokens, embed_dim); rng_key, int32 (batch,) or None. Output: as x.
    """

    def construct(self, x, rng_key=None):
        return self.cell_list[1](self.cell_list[0](x, rng_key), rng_key)


class TransformerEncoder(nn.Cell):
    """``depth`` blocks, each followed by dropout where ``block_dropout`` asks for it.

    Args:
        config: the network's settings; all count here but those of the tokens' making and of the head.

    Inputs: x, (batch, tokens, embed_dim); rng_key, int32 (batch,) or None. Output: as x.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width, blocks = config.embed_dim, []
        for skip in drop_path_rates(config.drop_path, config.depth, config.drop_path_mode):
            attend = PreNorm(nn.LayerNorm((width,), epsilon=config.norm_eps), make_attention(config))
            feed = PreNorm(
                nn.LayerNorm((width,), epsilon=config.norm_eps),
                FeedForward(width, config.mlp_dim, config.dropout, config.gelu),
            )
            blocks.append(Block(*(ResidualCell(cell, skip, config.layer_scale, width) for cell in (attend, feed))))
        self.layers = nn.CellList(blocks)
        self.dropouts = nn.CellList([Dropout(config.block_dropout) for _ in blocks])

    def construct(self, x, rng_key=None):
        for index, block in enumerate(self.layers):
            x = self.dropouts[index](block(x, rng_key), rng_key)
        return x

    def recompute_blocks(self) -> None:
        """Lets the gradient compute what is inside each block again, in place of keeping it from the forward pass.

        The masks of keyed dropout are then the same ones. To be called before the network is compiled, and after its
        precision was set, which puts cells of its own into the blocks.
        """
        for block in self.layers:
            block.recompute()


def make_attention(config: ViTConfig) -> Attention:
    """The attention of one block, put together as the settings say."""
    places = (config.grid, config.num_heads, config.prefix_tokens)
    return Attention(
        config.embed_dim,
        config.num_heads,
        config.dropout,
        config.attention_dropout,
        qk_norm_eps=config.norm_eps if config.qk_norm else None,
        relative_bias=RelativeBias(*places) if config.pos_embed == "relative" else None,
        local_attention=None
        if config.window_size is None
        else LocalAttention(
            config.grid, config.window_size, config.prefix_tokens, config.num_heads, config.attention_dropout
        ),
    )


def drop_path_rates(drop_path: float, depth: int, mode: str) -> list[float]:
    """The probability of skipping each block: ``drop_path`` for all, or rising linearly to it from 0 at the first."""
    if mode == "constant":
        return [drop_path] * depth
    return [drop_path * index / max(depth - 1, 1) for index in range(depth)]
