"""Where a cell reads a weight from: its own parameter, or a part of a buffer that holds many weights."""

import math

from mindspore import Parameter, Tensor, nn
from mindspore.common.initializer import initializer
from mindspore.ops.auto_generate import slice_ext_view_op

HANDLE_PREFIX = "handle."
"""Start of the names of the parameters that gradients of bound weights are taken of."""


class Weight(nn.Cell):
    """Gives a cell the values of one of its parameters.

    A cell with the parameter ``x`` reads it as ``self.read_x(self.x)``, where ``read_x`` is a ``Weight``. These are the
    values of the parameter itself, until ``bind`` says that a flat buffer holds them: a training step on an NPU then
    casts, updates and reduces all weights in a few launches instead of one launch for each (``FlatWeights``).

    Input: the parameter. Output: its values, in the same shape.
    """

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.is_bound = False

    def bind(self, buffer: Parameter, start: int, parameter: Parameter) -> Parameter:
        """Reads the values from a flat buffer from now on. Call it before the cell is compiled.

        Args:
            buffer: parameter that holds the values in row-major order: a vector, or a matrix with rows as long as
                those of the weight.
            start: index of the first value.
            parameter: the parameter whose values they are.

        Returns:
            The parameter to differentiate by: its gradient is that of the values, in the dtype of the buffer. Its own
            values are never read.
        """
        shape = parameter.shape
        self.view = _View(buffer, start, shape)
        self.is_bound = True
        handle = Parameter(initializer("zeros", shape, buffer.dtype), name=f"{HANDLE_PREFIX}{parameter.name}")
        # Not registered in this cell, so that the parameters of the network stay what they are.
        object.__setattr__(self, "handle", handle)
        return handle

    def construct(self, parameter):
        if self.is_bound:
            return self.view(self.handle)
        return parameter


class _View(nn.Cell):
    """A part of a buffer, without a copy. Its gradient goes to the input, whose values are not used.

    The gradient of a slice of the buffer would be a tensor of the size of the whole buffer, for each weight.
    """

    def __init__(self, buffer: Parameter, start: int, shape: tuple[int, ...]) -> None:
        super().__init__(auto_prefix=False)
        object.__setattr__(self, "buffer", buffer)
        self.start = start
        self.shape = tuple(shape)

    def construct(self, handle):
        return part_of(self.buffer, self.start, self.shape)

    def bprop(self, handle, out, dout):
        return (dout,)


def part_of(buffer: Tensor, start: int, shape: tuple[int, ...]) -> Tensor:
    """The values of one weight in a buffer: a view, if the buffer has as many dimensions as the weight.

    Otherwise a tensor of another shape is made of the view, and an NPU copies it.
    """
    if buffer.ndim == 2:
        row = start // shape[1]
        return slice_ext_view_op(buffer, 0, row, row + shape[0], 1)
    part = slice_ext_view_op(buffer, 0, start, start + math.prod(shape), 1)
    return part if len(shape) == 1 else part.reshape(shape)
