"""Multi-head self-attention."""

import math

from mindspore import nn, ops
from mindspore.common.initializer import Uniform, XavierUniform

from mindvit.models.dropout import Dropout


class Attention(nn.Cell):
    """Multi-head self-attention with one joint projection to queries, keys and values (Vaswani et al., 2017).

    Args:
        embed_dim: width of a token; ``num_heads`` must divide it.
        num_heads: number of heads.
        dropout: probability of dropping an element of the output.
        attention_dropout: probability of dropping an attention weight.

    Inputs: x, (batch, tokens, embed_dim); key, int32 (batch,) or None. Output: as x. The outputs of ``qkv`` are ordered
    (3, num_heads, head_dim).
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, attention_dropout: float = 0.0) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.scale = self.head_dim**-0.5
        # Each of the three joint projections starts as a Xavier-uniform square matrix of its own.
        self.qkv = nn.Dense(
            embed_dim, 3 * embed_dim, weight_init=Uniform(math.sqrt(3.0 / embed_dim)), bias_init="zeros"
        )
        self.softmax = nn.Softmax(axis=-1)
        self.attention_dropout = Dropout(attention_dropout)
        self.out = nn.Dense(embed_dim, embed_dim, weight_init=XavierUniform(), bias_init="zeros")
        self.dropout = Dropout(dropout)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.weigh = ops.BatchMatMul()

    def construct(self, x, key=None):
        # Slices of the last axis: indexing a leading axis of 3 takes 2.6 times as long on CPU, and unstacking it
        # cannot be exported to ONNX.
        width = self.embed_dim
        qkv = self.qkv(x)
        query = self._split_heads(qkv[:, :, :width] * self.scale)
        keys = self._split_heads(qkv[:, :, width : 2 * width])
        value = self._split_heads(qkv[:, :, 2 * width :])
        weights = self.attention_dropout(self.softmax(self.scores(query, keys)), key)
        x = self.weigh(weights, value).transpose(0, 2, 1, 3).reshape(x.shape)
        return self.dropout(self.out(x), key)

    def _split_heads(self, x):
        batch, tokens, _ = x.shape
        return x.reshape(batch, tokens, self.num_heads, self.head_dim).transpose(0, 2, 1, 3)
