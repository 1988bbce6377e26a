"""Softmax attention: the plain formula, and the fused operator of Ascend."""

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvit.ops.dropout import Dropout
from mindvit.ops.operation import Operation, native_kernel


class _NativeSoftmax(nn.Cell):
    """Softmax over the last axis by the native kernels. Input and output: float32, of any shape."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.forward = native_kernel("softmax", lambda x: x)
        self.backward = native_kernel("softmax_grad", lambda y, dy: y)

    def construct(self, x):
        return self.forward(x)

    def bprop(self, x, out, dout):
        return (self.backward(out, dout),)


class Softmax(Operation):
    """Softmax over the last axis, computed in float32 at every AMP level.

    Computed in float16, a row of 2,000 weights has a sum that differs from 1 by 2e-4, and three of ten weights are not
    the nearest float16 number.

    Input and output: any shape, floating point.
    """

    def __init__(self) -> None:
        super().__init__()
        if self.is_native:
            self.native = _NativeSoftmax()

    def construct(self, x):
        if self.is_native and x.dtype == ms.float32:
            return self.native(x)
        return ops.softmax(x.astype(ms.float32), -1).astype(x.dtype)


class DotProductAttention(nn.Cell):
    """Dot-product attention, ``softmax(query key^T + bias) value`` (Vaswani et al., 2017, eq. 1).

    The query is already scaled. After ``fuse``, the fused operator of the device computes it in all cases that
    ``supports_fused_attention`` accepts. On tensors that are not yet divided into heads, ``fused_attention`` does it
    without any transpose.

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

    def drops_weights(self):
        """Whether attention weights are dropped, as in training with attention dropout."""
        return self.training and self.attention_dropout.p > 0

    def can_fuse(self, dtype, shape, has_bias):
        """Whether the fused operator computes a case; the arguments are those of ``supports_fused_attention``."""
        if not self.is_fused:
            return False
        return supports_fused_attention(dtype, shape, self.drops_weights(), self.training and has_bias)

    def weights(self, query, key, bias=None):
        """Attention weights before dropout, (batch, num_heads, tokens, tokens)."""
        scores = self.scores(query, key)
        if bias is not None:
            scores = scores + bias.astype(scores.dtype)
        return self.softmax(scores)

    def construct(self, query, key, value, bias=None, rng_key=None):
        if self.can_fuse(query.dtype, query.shape, bias is not None):
            return fused_attention(query, key, value, query.shape[1], bias=bias, layout="BNSD")
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


def fused_attention(query, key, value, num_heads, scale=1.0, bias=None, layout="BSH"):
    """Computes ``softmax(scale query key^T + bias) value`` with one operator, which never stores all attention weights.

    Not tested on hardware: the operator exists only on Ascend.

    Args:
        query, key, value: (batch, tokens, embed_dim) in the layout BSH, in which each head is a part of the last axis;
            (batch, num_heads, tokens, head_dim) in the layout BNSD.
        num_heads: number of heads.
        scale: factor of the scores.
        bias: (1, num_heads, tokens, tokens) or None.
        layout: ``"BSH"`` or ``"BNSD"``.
    """
    shift = None if bias is None else bias.astype(query.dtype)
    return ops.flash_attention_score(
        query, key, value, num_heads, real_shift=shift, scalar_value=scale, input_layout=layout
    )


class NativeAttention(nn.Cell):
    """Dot-product attention by the native kernels, on the joint projection, without a matrix of all pairs in memory.

    The scores of some queries at a time fit into a cache. For the gradient they are computed again from the logarithms
    of their sums, as in FlashAttention (Dao et al., 2022).

    Args:
        num_heads: number of heads.
        scale: factor of the scores.

    Input: query, key and value side by side, float32 (batch, tokens, 3 * embed_dim). Outputs: the weighted sums of the
    values, joined over the heads, (batch, tokens, embed_dim); the logarithms of the sums of the exponentials of the
    scores, (batch, num_heads, tokens). The gradient is that of the first.
    """

    def __init__(self, num_heads: int, scale: float) -> None:
        super().__init__(auto_prefix=False)
        self.scale = Tensor([scale], ms.float32)

        def shapes(projections, scale):
            batch, tokens, width = projections
            return [batch, tokens, width // 3], [batch, num_heads, tokens]

        self.forward = native_kernel("attention", shapes, 2)
        self.backward = native_kernel("attention_grad", lambda projections, *others: projections)

    def construct(self, projections):
        return self.forward(projections, self.scale)

    def bprop(self, projections, out, dout):
        return (self.backward(projections, self.scale, out[0], out[1], dout[0]),)


class SplitHeads(nn.Cell):
    """Divides the last axis into heads.

    Args:
        num_heads: number of heads.

    Input: (batch, tokens, embed_dim). Output: (batch, num_heads, tokens, head_dim).
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads

    def construct(self, x):
        batch, tokens, width = x.shape
        return x.reshape(batch, tokens, self.num_heads, width // self.num_heads).transpose(0, 2, 1, 3)


class SplitProjections(Operation):
    """Divides the output of a joint projection into its parts, such as query, key and value.

    On Ascend it is one operator. On CPU slices along the last axis take less than half the time of indexing a leading
    axis, and unlike unstacking can be exported to ONNX.

    Args:
        width: width of a part.
        parts: number of parts.

    Input: (batch, tokens, parts * width). Output: a tuple of (batch, tokens, width).
    """

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.width = width
        self.parts = parts

    def construct(self, x):
        if self.on_ascend:
            return ops.split(x, self.width, -1)
        found = ()
        for index in range(self.parts):
            found = found + (x[:, :, index * self.width : (index + 1) * self.width],)  # noqa: RUF005
        return found
