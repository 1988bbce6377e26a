"""EfficientNet-B0 as the stem of a hybrid Vision Transformer."""

import math

import mindspore as ms
from mindspore import nn, ops
from mindspore.common.initializer import Normal

from mindvit.ops.convolution import Convolution

# Tan & Le (2019), table 1: expansion, kernel size, stride, channels and number of blocks of each stage.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
ROOT_CHANNELS = 32
SQUEEZE_REDUCTION = 4


class Swish(nn.Cell):
    """``x sigmoid(x)`` (Ramachandran et al., 2017), with an explicit gradient, which stores only the input.

    Input and output: any shape, floating point.
    """

    def construct(self, x):
        return x * ops.sigmoid(x)

    def bprop(self, x, out, dout):
        gate = ops.sigmoid(x)
        return (dout * gate * (1.0 + x * (1.0 - gate)),)


class SqueezeExcitation(nn.Cell):
    """Squeeze-and-excitation: multiplies each channel by a gate in (0, 1) (Hu et al., 2018).

    The gates are computed from the means of all channels.

    Args:
        channels: channels of the feature map.
        reduced: width of the hidden layer.

    Input and output: (batch, channels, height, width).
    """

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.reduce = _convolution(channels, reduced, 1, has_bias=True)
        self.swish = Swish()
        self.expand = _convolution(reduced, channels, 1, has_bias=True)

    def construct(self, x):
        batch, channels, height, width = x.shape
        means = x.reshape(batch * channels, height * width).mean(1).reshape(batch, channels, 1, 1)
        return x * ops.sigmoid(self.expand(self.swish(self.reduce(means))))


class MBConv(nn.Cell):
    """Inverted bottleneck (Sandler et al., 2018).

    1x1 expansion, depthwise convolution, squeeze-and-excitation, 1x1 projection. The input is added to the output if
    both have the same shape.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        expansion: expansion factor of the inner channels; 1 omits the expansion.
        kernel_size: side of the depthwise kernel.
        stride: stride of the depthwise convolution.

    Input: (batch, in_channels, height, width). Output: (batch, out_channels, height / stride, width / stride).
    """

    def __init__(self, in_channels: int, out_channels: int, expansion: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.has_expansion = expansion != 1
        if self.has_expansion:
            self.expand = _convolution(in_channels, inner, 1)
            self.expand_norm = BatchNorm(inner)
        self.depthwise = _convolution(inner, inner, kernel_size, stride, depthwise=True)
        self.depthwise_norm = BatchNorm(inner)
        self.squeeze = SqueezeExcitation(inner, in_channels // SQUEEZE_REDUCTION)
        self.project = _convolution(inner, out_channels, 1)
        self.project_norm = BatchNorm(out_channels)
        self.swish = Swish()
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def construct(self, x):
        y = self.swish(self.expand_norm(self.expand(x))) if self.has_expansion else x
        y = self.squeeze(self.swish(self.depthwise_norm(self.depthwise(y))))
        y = self.project_norm(self.project(y))
        return x + y if self.has_shortcut else y


class EfficientNetStem(nn.Cell):
    """EfficientNet-B0 (Tan & Le, 2019) up to its seventh stage: 320 channels at stride 32.

    It computes the same as ``efficientnet_b0`` of timm: padding is symmetric, and batch norm has an epsilon of 1e-5 and
    a momentum of 0.9 for the moving statistics (TensorFlow: 1e-3 and 0.99). Weights are initialized with
    N(0, 2 / fan_out), as in the code of the paper. There is no drop path.

    Args:
        in_channels: channels of the image.

    Input: (batch, in_channels, height, width), both sides divisible by ``stride``. Output:
    (batch, out_channels, height / stride, width / stride).
    """

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.stride = 2 * math.prod(stride for _, _, stride, _, _ in STAGES)
        self.out_channels = STAGES[-1][3]
        self.conv = _convolution(in_channels, ROOT_CHANNELS, 3, stride=2)
        self.norm = BatchNorm(ROOT_CHANNELS)
        self.swish = Swish()
        stages, channels = [], ROOT_CHANNELS
        for expansion, kernel, stride, width, blocks in STAGES:
            stage = [MBConv(channels, width, expansion, kernel, stride)]
            stage += [MBConv(width, width, expansion, kernel, 1) for _ in range(blocks - 1)]
            stages.append(nn.SequentialCell(stage))
            channels = width
        self.stages = nn.SequentialCell(stages)

    def construct(self, x):
        return self.stages(self.swish(self.norm(self.conv(x))))


def _convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    depthwise: bool = False,
    has_bias: bool = False,
) -> Convolution:
    fan_out = kernel_size**2 * (1 if depthwise else out_channels)
    weight_init = Normal(sigma=math.sqrt(2.0 / fan_out))
    return Convolution(in_channels, out_channels, kernel_size, stride, depthwise, "symmetric", has_bias, weight_init)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm, computed in float32 whatever the dtype of the input.

    Args:
        channels: channels of the feature map.

    Input and output: (batch, channels, height, width), of the same dtype.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-5, momentum=0.9)

    def construct(self, x):
        return super().construct(x.astype(ms.float32)).astype(x.dtype)
