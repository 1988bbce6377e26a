"""Convolutions, computed as matrix products on CPU."""

import math

import mindspore as ms
from mindspore import Parameter, nn, ops
from mindspore.common.initializer import Initializer, TruncatedNormal, initializer

from mindvit.ops.operation import target_device


class Convolve(nn.Cell):
    """A convolution without parameters: it takes a feature map and a weight.

    On CPU, the convolution of MindSpore 2.10 is as fast as a matrix product only for kernel size 1 and stride 1; all
    others use the reference loops of oneDNN. Therefore, on CPU the input is unfolded into columns (im2col) and
    multiplied by the weight with one matrix product: about 10 ms against 735 ms for a 3x3 kernel on (4, 64, 56, 56), 15
    against 60 ms for a depthwise kernel on (4, 32, 112, 112), 0.43 against 25.9 s of processor time for the forward
    pass of the whole ``r50_s16`` stem at 224 pixels and batch 4 (float32, two x86-64 cores). The columns take
    ``kernel_size^2`` times the memory of the feature map, and training stores them. Other devices use the stock
    operator.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: side of the square kernel.
        stride: stride of the kernel.
        depthwise: whether each channel has a separate kernel; ``out_channels`` must equal ``in_channels``.
        padding: ``same`` adds ``kernel_size - stride`` zeros like TensorFlow, an odd one at the right and bottom;
            ``symmetric`` adds ``kernel_size // 2`` zeros on each side, like PyTorch networks.

    Inputs: x, (batch, in_channels, height, width), with sides divisible by ``stride``; weight,
    (out_channels, in_channels, kernel_size, kernel_size), or (in_channels, 1, kernel_size, kernel_size) if depthwise.
    Output: (batch, out_channels, height / stride, width / stride).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        depthwise: bool = False,
        padding: str = "same",
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride
        self.depthwise = depthwise
        self.before = self.after = kernel_size // 2
        if padding == "same":
            zeros = max(kernel_size - stride, 0)
            self.before, self.after = zeros // 2, zeros - zeros // 2
        self.uses_stock_operator = target_device() != "CPU" or kernel_size == stride == 1
        # As MindSpore's ONNX exporter needs it: two numbers for the kernel, and no uneven padding, whose order it mixes
        # up.
        is_even = self.before == self.after
        self.convolve = ops.Conv2D(
            out_channels,
            (kernel_size, kernel_size),
            pad_mode="pad" if is_even else "same",
            pad=self.before if is_even else 0,
            stride=stride,
            group=in_channels if depthwise else 1,
        )
        self.pointwise = ops.Conv2D(out_channels, (1, 1))

    def construct(self, x, weight):
        if self.uses_stock_operator:
            return self.convolve(x, weight)
        batch, channels, height, width = x.shape
        height, width = height // self.stride, width // self.stride
        columns = self._unfold(x)
        if self.depthwise:
            columns = columns.reshape(batch, channels, -1, height * width)
            return ops.matmul(weight.reshape(channels, 1, -1), columns).reshape(batch, channels, height, width)
        columns = columns.reshape(batch, -1, height, width)
        return self.pointwise(columns, weight.reshape(weight.shape[0], -1, 1, 1))

    def _unfold(self, x):
        if self.before == self.after:
            return ops.unfold(x, self.kernel_size, padding=self.before, stride=self.stride)
        # Concatenation with zeros, because ops.pad takes longer than the whole matrix product.
        for axis in (2, 3):
            x = ops.concat(self._zeros(x, axis, self.before) + (x,) + self._zeros(x, axis, self.after), axis)  # noqa: RUF005
        return ops.unfold(x, self.kernel_size, stride=self.stride)

    def _zeros(self, x, axis, count):
        if count == 0:
            return ()
        shape = x.shape[:axis] + (count,) + x.shape[axis + 1 :]  # noqa: RUF005
        return (ops.zeros(shape, x.dtype),)


class Convolution(nn.Cell):
    """A convolution with a weight and an optional bias.

    Args:
        in_channels, out_channels, kernel_size, stride, depthwise, padding: as in ``Convolve``.
        has_bias: whether a bias, initialized to 0, is added to each output channel.
        weight_init: initializer of the weight; None is a truncated normal of variance 1 / fan_in.

    Input and output: as in ``Convolve``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        depthwise: bool = False,
        padding: str = "same",
        has_bias: bool = False,
        weight_init: Initializer | None = None,
    ) -> None:
        super().__init__()
        fan_in = (1 if depthwise else in_channels) * kernel_size**2
        shape = (out_channels, fan_in // kernel_size**2, kernel_size, kernel_size)
        if weight_init is None:
            weight_init = TruncatedNormal(sigma=math.sqrt(1.0 / fan_in))
        self.weight = Parameter(initializer(weight_init, shape, ms.float32), name="weight")
        self.has_bias = has_bias
        if has_bias:
            self.bias = Parameter(initializer("zeros", (out_channels,), ms.float32), name="bias")
        self.convolve = Convolve(in_channels, out_channels, kernel_size, stride, depthwise, padding)

    def construct(self, x):
        x = self.convolve(x, self.weight.astype(x.dtype))
        return x + self.bias.astype(x.dtype).reshape(1, -1, 1, 1) if self.has_bias else x


class StandardizedConvolution(Convolution):
    """A convolution with weight standardization: the weight of each output channel has mean 0 and variance 1.

    The weight is ``(w - mean(w)) / sqrt(var(w) + 1e-8)`` over all inputs of an output channel (Qiao et al., 2019,
    "Weight Standardization"), computed in float32 at every AMP level.
    """

    def construct(self, x):
        weight = self.weight.astype(ms.float32).reshape(self.weight.shape[0], -1)
        weight = weight - weight.mean(1, keep_dims=True)
        variance = (weight * weight).mean(1, keep_dims=True)
        weight = (weight * ops.rsqrt(variance + 1e-8)).reshape(self.weight.shape)
        return self.convolve(x, weight.astype(x.dtype))
