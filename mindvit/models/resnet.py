"""The ResNet stem of hybrid Vision Transformers."""

import mindspore as ms
from mindspore import Parameter, nn, ops
from mindspore.common.initializer import initializer

from mindvit.ops.convolution import StandardizedConvolution

GROUPS = 32
"""Groups of channels of a group norm."""


class GroupNorm(nn.Cell):
    """Group normalization with 32 groups (Wu & He, 2018), computed in float32 at every AMP level.

    Args:
        channels: channels of the feature map, divisible by 32.
        gamma_init: initializer of gamma, ``ones`` or ``zeros``.

    Input and output: (batch, channels, height, width).
    """

    def __init__(self, channels: int, gamma_init: str = "ones") -> None:
        super().__init__()
        self.gamma = Parameter(initializer(gamma_init, (channels,), ms.float32), name="gamma")
        self.beta = Parameter(initializer("zeros", (channels,), ms.float32), name="beta")

    def construct(self, x):
        batch, channels, _, _ = x.shape
        y = x.astype(ms.float32).reshape(batch * GROUPS, -1)
        y = y - y.mean(1, keep_dims=True)
        scale = ops.rsqrt((y * y).mean(1, keep_dims=True) + 1e-5)
        # One row per channel of each image: gradients are then sums along rows, which take half as long on CPU.
        scale = ops.tile(scale, (1, channels // GROUPS)).reshape(batch, channels) * self.gamma.astype(ms.float32)
        shift = ops.tile(self.beta.astype(ms.float32), (batch,)).reshape(-1, 1)
        y = y.reshape(batch * channels, -1) * scale.reshape(-1, 1) + shift
        return y.reshape(x.shape).astype(x.dtype)


class Root(nn.Cell):
    """The first layers: 7x7 convolution with stride 2, norm, ReLU, 3x3 max pooling with stride 2.

    Input: (batch, in_channels, height, width). Output: (batch, width, height / 4, width / 4).
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv = StandardizedConvolution(in_channels, width, 7, stride=2)
        self.norm = GroupNorm(width)
        self.pool = nn.MaxPool2d(3, 2, pad_mode="same")

    def construct(self, x):
        return self.pool(ops.relu(self.norm(self.conv(x))))


class Bottleneck(nn.Cell):
    """Bottleneck unit: ``relu(shortcut(x) + branch(x))`` with a branch of 1x1, 3x3 and 1x1 convolutions.

    Args:
        in_channels: channels of the input.
        width: channels of the two inner convolutions; the output has four times as many.
        stride: stride of the 3x3 convolution and of the shortcut.

    Input: (batch, in_channels, height, width). Output: (batch, 4 * width, height / stride, width / stride).
    """

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = StandardizedConvolution(in_channels, width, 1)
        self.norm1 = GroupNorm(width)
        self.conv2 = StandardizedConvolution(width, width, 3, stride)
        self.norm2 = GroupNorm(width)
        self.conv3 = StandardizedConvolution(width, 4 * width, 1)
        # gamma is 0, so that the unit is initialized as its shortcut.
        self.norm3 = GroupNorm(4 * width, gamma_init="zeros")
        self.has_projection = stride != 1 or in_channels != 4 * width
        if self.has_projection:
            self.projection = StandardizedConvolution(in_channels, 4 * width, 1, stride)
            self.projection_norm = GroupNorm(4 * width)

    def construct(self, x):
        shortcut = self.projection_norm(self.projection(x)) if self.has_projection else x
        x = ops.relu(self.norm1(self.conv1(x)))
        x = ops.relu(self.norm2(self.conv2(x)))
        return ops.relu(shortcut + self.norm3(self.conv3(x)))


class ResNetStem(nn.Cell):
    """The ResNet of the hybrids in the ViT paper (Dosovitskiy et al., 2021).

    It uses group norm and weight standardization, and computes the same as timm. The code of the paper differs: it
    divides by ``std(w) + 1e-5`` instead of ``sqrt(var(w) + 1e-8)``, and its group norm has an epsilon of 1e-6 instead
    of 1e-5. Weights are initialized as in the code of the paper.

    Args:
        layers: number of units in each stage. The first stage keeps the size of its input, each further stage halves
            it.
        in_channels: channels of the image.
        width: inner channels of the first stage, divisible by 32; each further stage doubles them.

    Input: (batch, in_channels, height, width), both sides divisible by ``stride``. Output:
    (batch, out_channels, height / stride, width / stride).
    """

    def __init__(self, layers: tuple[int, ...], in_channels: int = 3, width: int = 64) -> None:
        super().__init__()
        self.stride = 2 ** (len(layers) + 1)
        self.out_channels = 4 * width * 2 ** (len(layers) - 1)
        self.root = Root(in_channels, width)
        stages, channels = [], width
        for index, units in enumerate(layers):
            inner = width * 2**index
            stage = [Bottleneck(channels, inner, stride=1 if index == 0 else 2)]
            stage += [Bottleneck(4 * inner, inner, stride=1) for _ in range(units - 1)]
            stages.append(nn.SequentialCell(stage))
            channels = 4 * inner
        self.stages = nn.SequentialCell(stages)

    def construct(self, x):
        return self.stages(self.root(x))
