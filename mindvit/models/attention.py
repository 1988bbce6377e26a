"""Multi-head self-attention."""

import math

import mindspore as ms
from mindspore import nn, ops
from mindspore.common.initializer import Uniform, XavierUniform

from mindvit.models.dropout import Dropout
from mindvit.models.local_attention import LocalAttention
from mindvit.models.pos_embed import RelativeBias
from mindvit.models.softmax import Softmax


class DotProductAttention(nn.Cell):
    """Dot-product attention, ``softmax(query key^T + bias) value`` (Vaswani et al., 2017, eq. 1).

    The query is already scaled. After ``fuse``, the fused operator of the device computes it in all cases that
    ``supports_fused_attention`` accepts.

    Args:
        attention_dropout: probability of dropping an attention weight.

    Inputs: query, key, value, (batch, num_heads, tokens, head_dim); bias, (1, num_heads, tokens, tokens) or None;
    rng_key, int32 (batch,) or None. Output: same shape as value.
    """

    def __init__(self, attention_dropout: float = 0.0) -> None:
        super().__init__()
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.softmax = Softmax()
        self.attention_dropout = Dropout(attention_dropout)
        self.weighted_sum = ops.BatchMatMul()
        self.is_fused = False

    def fuse(self, allowed: bool = True) -> "DotProductAttention":
        """Enables or disables the fused operator. Call it before the cell is compiled."""
        self.is_fused = allowed
        return self

    def weights(self, query, key, bias=None):
        """Attention weights before dropout, (batch, num_heads, tokens, tokens)."""
        scores = self.scores(query, key)
        if bias is not None:
            scores = scores + bias.astype(scores.dtype)
        return self.softmax(scores)

    def construct(self, query, key, value, bias=None, rng_key=None):
        has_dropout = self.training and self.attention_dropout.p > 0
        bias_requires_grad = self.training and bias is not None
        if self.is_fused and supports_fused_attention(query.dtype, query.shape, has_dropout, bias_requires_grad):
            return fused_attention(query, key, value, bias)
        return self.weighted_sum(self.attention_dropout(self.weights(query, key, bias), rng_key), value)


def supports_fused_attention(
    dtype: ms.Type, shape: tuple[int, ...], has_dropout: bool, bias_requires_grad: bool
) -> bool:
    """Whether ``fused_attention`` can replace the unfused computation.

    The limits of dtype and shape are those of ``ops.flash_attention_score`` in MindSpore 2.10. Its dropout ignores
    ``rng_key``, and it computes no gradient of the bias.

    Args:
        dtype: dtype of query, key and value.
        shape: shape of the query, (batch, num_heads, tokens, head_dim).
        has_dropout: whether attention weights are dropped.
        bias_requires_grad: whether a gradient of the bias is needed.
    """
    if has_dropout or bias_requires_grad:
        return False
    if dtype != ms.float16 and dtype != ms.bfloat16:
        return False
    batch, num_heads, _, head_dim = shape
    return batch <= 2048 and num_heads <= 256 and head_dim % 16 == 0 and head_dim <= 512


def fused_attention(query, key, value, bias=None):
    """Computes ``softmax(query key^T + bias) value`` with one operator, which never stores all attention weights.

    Not tested on hardware: the operator exists only on Ascend. Inputs and output: as in ``DotProductAttention``.
    """
    shift = None if bias is None else bias.astype(query.dtype)
    return ops.flash_attention_score(
        query, key, value, query.shape[1], real_shift=shift, scalar_value=1.0, input_layout="BNSD"
    )


class Attention(nn.Cell):
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
        self.qkv = nn.Dense(
            embed_dim, 3 * embed_dim, weight_init=Uniform(math.sqrt(3.0 / embed_dim)), bias_init="zeros"
        )
        self.has_norms = qk_norm_eps is not None
        if self.has_norms:
            self.query_norm = nn.LayerNorm((self.head_dim,), epsilon=qk_norm_eps)
            self.key_norm = nn.LayerNorm((self.head_dim,), epsilon=qk_norm_eps)
        self.is_local = local_attention is not None
        self.attend = local_attention if self.is_local else DotProductAttention(attention_dropout)
        self.is_relative = relative_bias is not None
        if self.is_relative:
            self.relative_bias = relative_bias
        self.out = nn.Dense(embed_dim, embed_dim, weight_init=XavierUniform(), bias_init="zeros")
        self.dropout = Dropout(dropout)

    def construct(self, x, rng_key=None):
        query, key, value = self._project_qkv(x)
        x = self.attend(query, key, value, self._bias(), rng_key).transpose(0, 2, 1, 3).reshape(x.shape)
        return self.dropout(self.out(x), rng_key)

    def weights(self, x):
        """Attention weights of x before dropout, (batch, num_heads, tokens, tokens)."""
        query, key, _ = self._project_qkv(x)
        return self.attend.weights(query, key, self._bias())

    def _project_qkv(self, x):
        # Slices along the last axis: indexing a leading axis of 3 takes 2.6 times as long on CPU, and unstacking it
        # cannot be exported to ONNX.
        width = self.embed_dim
        qkv = self.qkv(x)
        if self.has_norms:
            query = self.query_norm(self._split_heads(qkv[:, :, :width])) * self.scale
            key = self.key_norm(self._split_heads(qkv[:, :, width : 2 * width]))
        else:
            query = self._split_heads(qkv[:, :, :width] * self.scale)
            key = self._split_heads(qkv[:, :, width : 2 * width])
        return query, key, self._split_heads(qkv[:, :, 2 * width :])

    def _split_heads(self, x):
        batch, tokens, _ = x.shape
        return x.reshape(batch, tokens, self.num_heads, self.head_dim).transpose(0, 2, 1, 3)

    def _bias(self):
        if not self.is_relative:
            return None
        # Local attention never forms the matrix of all pairs, so it takes the table itself.
        return self.relative_bias.table if self.is_local else self.relative_bias()
