"""The feed-forward layer (MLP) of a Transformer block."""

import mindspore as ms
from mindspore.common.initializer import XavierUniform

from mindvit.ops.dense import Dense
from mindvit.ops.dropout import Dropout
from mindvit.ops.gelu import make_gelu
from mindvit.ops.native_feed_forward import NativeFeedForward
from mindvit.ops.operation import Operation


class FeedForward(Operation):
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
        self.set_gelu(gelu)
        self.dense2 = Dense(mlp_dim, embed_dim, XavierUniform())
        self.hidden_dropout = Dropout(dropout)
        self.dropout = Dropout(dropout)

    def set_gelu(self, gelu: str) -> None:
        """Changes the form of GELU. Call it before the cell is compiled."""
        self.activation = make_gelu(gelu)
        if self.is_native:
            self.native = NativeFeedForward(gelu)

    def construct(self, x, rng_key=None):
        has_hidden_dropout = self.training and self.hidden_dropout.p > 0
        if self.is_native and x.dtype == ms.float32 and not has_hidden_dropout:
            weights = self.dense1.weight_and_bias() + self.dense2.weight_and_bias()
            return self.dropout(self.native(x, *weights)[0], rng_key)
        x = self.hidden_dropout(self.activation(self.dense1(x)), rng_key)
        return self.dropout(self.dense2(x), rng_key)
