"""The feed-forward layer (MLP) of a Transformer block."""

from mindspore import nn
from mindspore.common.initializer import XavierUniform

from mindvit.ops.dense import Dense
from mindvit.ops.dropout import Dropout
from mindvit.ops.gelu import make_gelu


class FeedForward(nn.Cell):
    """Dense, GELU, dropout, Dense, dropout, applied to each token.

    Args:
        embed_dim: embedding dimension.
        mlp_dim: hidden dimension.
        dropout: probability of dropping an element after each dense layer.
        gelu: ``"tanh"`` or ``"exact"``.

    Inputs: x, (batch, tokens, embed_dim); rng_key, int32 (batch,) or None. Output: same shape as x.
    """

    def __init__(self, embed_dim: int, mlp_dim: int, dropout: float = 0.0, gelu: str = "tanh") -> None:
        super().__init__()
        self.dense1 = Dense(embed_dim, mlp_dim, XavierUniform())
        self.activation = make_gelu(gelu)
        self.dense2 = Dense(mlp_dim, embed_dim, XavierUniform())
        self.hidden_dropout = Dropout(dropout)
        self.dropout = Dropout(dropout)

    def construct(self, x, rng_key=None):
        x = self.hidden_dropout(self.activation(self.dense1(x)), rng_key)
        return self.dropout(self.dense2(x), rng_key)
