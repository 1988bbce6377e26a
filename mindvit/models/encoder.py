"""The stack of Transformer blocks."""

from mindspore import nn

from mindvit.models.attention import Attention
from mindvit.models.feed_forward import FeedForward
from mindvit.models.residual import ResidualCell


class TransformerEncoder(nn.Cell):
    """``depth`` pre-norm blocks: ``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``.

    Args:
        embed_dim: width of a token.
        depth: number of blocks.
        num_heads: heads of each attention.
        mlp_dim: hidden width of each feed-forward.
        dropout: probability of dropping an element of a sub-layer's output.
        attention_dropout: probability of dropping an attention weight.
        drop_path: probability of skipping the last block's sub-layers; it rises linearly from 0 at the first.
        norm_eps: epsilon of the layer norms.
        gelu: ``"tanh"`` or ``"exact"``.

    Input and output: (batch, tokens, embed_dim).
    """

    def __init__(
        self,
        embed_dim: int,
        depth: int,
        num_heads: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: float = 0.0,
        norm_eps: float = 1e-7,
        gelu: str = "tanh",
    ) -> None:
        super().__init__()
        blocks = []
        for index in range(depth):
            skip = drop_path * index / max(depth - 1, 1)
            attend = nn.SequentialCell(
                nn.LayerNorm((embed_dim,), epsilon=norm_eps),
                Attention(embed_dim, num_heads, dropout, attention_dropout),
            )
            feed = nn.SequentialCell(
                nn.LayerNorm((embed_dim,), epsilon=norm_eps),
                FeedForward(embed_dim, mlp_dim, dropout, gelu),
            )
            blocks.append(nn.SequentialCell(ResidualCell(attend, skip), ResidualCell(feed, skip)))
        self.layers = nn.SequentialCell(blocks)

    def construct(self, x):
        return self.layers(x)
