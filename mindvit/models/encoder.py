"""The stack of Transformer blocks."""

from mindspore import nn

from mindvit.models.attention import Attention
from mindvit.models.feed_forward import FeedForward
from mindvit.models.local_attention import LocalAttention
from mindvit.models.pos_embed import RelativeBias
from mindvit.models.residual import PreNorm, ResidualCell
from mindvit.models.vit_config import ViTConfig
from mindvit.ops.dense import Dense
from mindvit.ops.dropout import Dropout
from mindvit.ops.layer_norm import LayerNorm


class Block(nn.SequentialCell):
    """A pre-norm block: ``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``.

    Inputs: x, (batch, tokens, embed_dim); rng_key, int32 (batch,) or None. Output: same shape as x.
    """

    def construct(self, x, rng_key=None):
        return self.cell_list[1](self.cell_list[0](x, rng_key), rng_key)


class TransformerEncoder(nn.Cell):
    """``depth`` blocks, each followed by dropout with probability ``block_dropout``.

    Args:
        config: configuration of the network. The settings of the embedding and of the head are not used here.

    Inputs: x, (batch, tokens, embed_dim); rng_key, int32 (batch,) or None. Output: same shape as x.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width, blocks = config.embed_dim, []
        for drop_path in drop_path_rates(config.drop_path, config.depth, config.drop_path_mode):
            attention = PreNorm(LayerNorm(width, config.norm_eps), make_attention(config))
            feed_forward = PreNorm(
                LayerNorm(width, config.norm_eps),
                FeedForward(width, config.mlp_dim, config.dropout, config.gelu),
            )
            branches = (attention, feed_forward)
            blocks.append(Block(*(ResidualCell(cell, drop_path, config.layer_scale, width) for cell in branches)))
        self.layers = nn.CellList(blocks)
        self.dropouts = nn.CellList([Dropout(config.block_dropout) for _ in blocks])

    def construct(self, x, rng_key=None):
        for index, block in enumerate(self.layers):
            x = self.dropouts[index](block(x, rng_key), rng_key)
        return x

    def recompute_blocks(self) -> None:
        """Enables recomputation (gradient checkpointing) of each block.

        The backward pass computes the activations of a block again instead of storing them. The dropout masks are the
        same, because they are functions of ``rng_key``. Call this before the network is compiled, and after AMP is
        applied, because AMP inserts cells into the blocks.
        """
        for block in self.layers:
            block.recompute()
            for _, cell in block.cells_and_names():
                if isinstance(cell, Dense):
                    cell.is_recomputed = True


def make_attention(config: ViTConfig) -> Attention:
    """Creates the attention of one block."""
    return Attention(
        config.embed_dim,
        config.num_heads,
        config.dropout,
        config.attention_dropout,
        qk_norm_eps=config.norm_eps if config.qk_norm else None,
        relative_bias=_relative_bias(config),
        local_attention=_local_attention(config),
    )


def drop_path_rates(drop_path: float, depth: int, mode: str) -> list[float]:
    """The drop path rate of each block.

    With ``mode`` ``"constant"`` every block has the rate ``drop_path``. With ``"linear"`` the rate increases linearly
    from 0 at the first block to ``drop_path`` at the last.
    """
    if mode == "constant":
        return [drop_path] * depth
    return [drop_path * index / max(depth - 1, 1) for index in range(depth)]


def _relative_bias(config: ViTConfig) -> RelativeBias | None:
    if config.pos_embed != "relative":
        return None
    return RelativeBias(config.grid, config.num_heads, config.prefix_tokens)


def _local_attention(config: ViTConfig) -> LocalAttention | None:
    if config.window_size is None:
        return None
    return LocalAttention(
        config.grid, config.window_size, config.prefix_tokens, config.num_heads, config.attention_dropout
    )
