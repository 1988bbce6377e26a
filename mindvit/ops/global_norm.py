"""The global norm of gradients, and their multiplication by a factor."""

import mindspore as ms
from mindspore import Tensor, ops

from mindvit.ops.operation import Operation, native_kernel


class GlobalNorm(Operation):
    """The Euclidean norm of all values of several tensors.

    Input: a tuple of float32 tensors. Output: a float32 scalar.
    """

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        if self.is_native:
            self.native = native_kernel("global_norm", lambda *shapes: [])

    def construct(self, tensors):
        if self.is_native:
            return self.native(*tensors)
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
