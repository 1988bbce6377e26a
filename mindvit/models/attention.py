"""Multi-head self-attention."""

import math

import mindspore as ms
from mindspore.common.initializer import Uniform, XavierUniform

from mindvit.models.local_attention import LocalAttention
from mindvit.models.pos_embed import RelativeBias
from mindvit.ops.dense import Dense
from mindvit.ops.dropout import Dropout
from mindvit.ops.layer_norm import LayerNorm
from mindvit.ops.operation import Operation
from mindvit.ops.softmax_attention import (
    DotProductAttention,
    NativeAttention,
    SplitHeads,
    SplitProjections,
    fused_attention,
)


class Attention(Operation):
    """Multi-head self-attention with one joint projection to query, key and value (Vaswani et al., 2017).

    Args:
        embed_dim: embedding dimension, a multiple of ``num_heads``.
        num_heads: number of heads.
        dropout: probability of dropping an element of the output.
        attention_dropout: probability of dropping an attention weight.
        qk_norm_eps: epsilon of the layer norms of query and key in each head (Dehghani et al., 2023); None disables
            them.
        relative_bias: relative position bias of the scores; None means no bias.
        local_attention: attention within a window; None is full attention.

    Inputs: x, (batch, tokens, embed_dim); rng_key, int32 (batch,) or None. Output: same shape as x. The outputs of
    ``qkv`` have the order (3, num_heads, head_dim).
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        *,
        qk_norm_eps: float | None = None,
        relative_bias: RelativeBias | None = None,
        local_attention: LocalAttention | None = None,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.scale = self.head_dim**-0.5
        # Each of the three projections is initialized as a separate Xavier-uniform square matrix.
        self.qkv = Dense(embed_dim, 3 * embed_dim, Uniform(math.sqrt(3.0 / embed_dim)))
        self.split_projections = SplitProjections(embed_dim, 3)
        self.split_heads = SplitHeads(num_heads)
        self.has_norms = qk_norm_eps is not None
        if self.has_norms:
            self.query_norm = LayerNorm(self.head_dim, qk_norm_eps)
            self.key_norm = LayerNorm(self.head_dim, qk_norm_eps)
        self.is_local = local_attention is not None
        self.attend = local_attention if self.is_local else DotProductAttention(attention_dropout)
        self.is_relative = relative_bias is not None
        if self.is_relative:
            self.relative_bias = relative_bias
        self.out = Dense(embed_dim, embed_dim, XavierUniform())
        self.dropout = Dropout(dropout)
        # The native kernel computes no norms, no bias and no windows.
        self.is_native = self.is_native and not (self.has_norms or self.is_relative or self.is_local)
        if self.is_native:
            self.native = NativeAttention(num_heads, self.scale)

    def construct(self, x, rng_key=None):
        return self.dropout(self.out(self._attended(x, rng_key)), rng_key)

    def weights(self, x):
        """Attention weights of x before dropout, (batch, num_heads, tokens, tokens)."""
        query, key, _ = self._heads(self.split_projections(self.qkv(x)))
        return self.attend.weights(query, key, self._bias())

    def _attended(self, x, rng_key):
        """The weighted sums of the values, joined over the heads: (batch, tokens, embed_dim)."""
        if self.is_native and x.dtype == ms.float32 and not self.attend.drops_weights():
            return self.native(self.qkv(x))[0]
        batch, tokens, width = x.shape
        projections = self.split_projections(self.qkv(x))
        if not self.is_local and self.attend.can_fuse(
            projections[0].dtype, (batch, self.num_heads, tokens, self.head_dim), self.is_relative
        ):
            query, key, value = projections
            if self.has_norms:
                shape = (batch, tokens, self.num_heads, self.head_dim)
                query = self.query_norm(query.reshape(shape)).reshape(x.shape)
                key = self.key_norm(key.reshape(shape)).reshape(x.shape)
            return fused_attention(query, key, value, self.num_heads, self.scale, self._bias())
        query, key, value = self._heads(projections)
        return self.attend(query, key, value, self._bias(), rng_key).transpose(0, 2, 1, 3).reshape(batch, tokens, width)

    def _heads(self, projections):
        """Scaled query, key and value, each (batch, num_heads, tokens, head_dim)."""
        query, key, value = projections
        if self.has_norms:
            query = self.query_norm(self.split_heads(query)) * self.scale
            key = self.key_norm(self.split_heads(key))
        else:
            query = self.split_heads(query * self.scale)
            key = self.split_heads(key)
        return query, key, self.split_heads(value)

    def _bias(self):
        if not self.is_relative:
            return None
        # Local attention never forms the matrix of all pairs, so it takes the table itself.
        return self.relative_bias.values() if self.is_local else self.relative_bias()
