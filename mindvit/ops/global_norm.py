"""The global norm of gradients, and their multiplication by a factor."""

import mindspore as ms
from mindspore import Tensor, ops


def global_norm(tensors):
    """The Euclidean norm of all values of several float32 tensors; a scalar."""
    total = Tensor(0.0, ms.float32)
    for tensor in tensors:
        total = total + ops.square(tensor).sum()
    return ops.sqrt(total)


def multiply(tensors, factor):
    """A tuple of tensors, each multiplied by the factor."""
    products = ()
    for tensor in tensors:
        products = products + (tensor * factor,)  # noqa: RUF005 (graph mode parses no star)
    return products
