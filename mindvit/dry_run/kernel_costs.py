"""The bytes that a kernel moves and the floating-point operations that it does, from the shapes of its tensors."""

import math

from mindvit.dry_run.kernel_graph import KernelNode, TensorSpec

_PRODUCTS = frozenset({"MatMul", "BatchMatMul", "MatMulExt", "BatchMatMulExt", "BMMExt", "Mm"})
_ATTENTION, _ATTENTION_GRADIENT = "FlashAttentionScore", "FlashAttentionScoreGrad"


def num_bytes(node: KernelNode) -> int:
    """Bytes read and written: all inputs and outputs once. Caches and workspaces are not counted."""
    return sum(tensor.num_bytes for tensor in (*node.inputs, *node.outputs))


def flops(node: KernelNode) -> int:
    """Floating-point operations of matrix products, convolutions and fused attention; 0 for all other kernels.

    A multiply-add counts as two. The gradient of fused attention computes the scores again, so it does five products
    of the size of the two in the forward pass (Dao et al., 2022, "FlashAttention").
    """
    try:
        return _flops(node)
    except (IndexError, ZeroDivisionError):  # A kernel with a known name, but tensors of another form.
        return 0


def _flops(node: KernelNode) -> int:
    inputs, outputs = node.inputs, node.outputs
    if node.name in _PRODUCTS:
        return 2 * outputs[0].size * _inner_length(inputs[0], inputs[1], outputs[0])
    if node.name == "Dense":
        return 2 * outputs[0].size * inputs[0].shape[-1]
    if node.name in ("Conv2D", "Conv2DExt", "Convolution"):
        return 2 * outputs[0].size * math.prod(inputs[1].shape[1:])
    if node.name == "Conv2DBackpropInput":  # Gradient of the output, weight.
        return 2 * inputs[0].size * math.prod(inputs[1].shape[1:])
    if node.name == "Conv2DBackpropFilter":  # Gradient of the output, input; the output has the shape of the weight.
        return 2 * inputs[0].size * math.prod(outputs[0].shape[1:])
    if node.name == "ConvolutionGrad":  # Gradient of the output, input, weight; both gradients.
        return 4 * inputs[0].size * math.prod(inputs[2].shape[1:])
    if node.name in (_ATTENTION, _ATTENTION_GRADIENT):
        query, key = inputs[0], inputs[1]
        statistics = next(tensor for tensor in (*outputs, *inputs) if tensor.shape[-1:] == (8,))
        query_length = statistics.shape[2]  # (batch, heads, query length, 8) in any layout of the query.
        key_length = query_length * key.size // query.size
        return (4 if node.name == _ATTENTION else 10) * query.size * key_length
    return 0


def _inner_length(first: TensorSpec, second: TensorSpec, product: TensorSpec) -> int:
    """The length of the axis that a product sums over, whichever of its factors is transposed.

    The sizes of (m, k), (k, n) and (m, n) give k squared, times the batches of the factors over that of the product.
    """
    batches = (math.prod(tensor.shape[:-2]) for tensor in (first, second, product))
    first_batch, second_batch, batch = batches
    return math.isqrt(first.size * second.size * batch // (product.size * first_batch * second_batch))
