"""The ResNet of the hybrid Vision Transformers."""

import mindspore as ms
from mindspore import Parameter, nn, ops
from mindspore.common.initializer import initializer

from mindvit.models.convolution import StandardizedConvolution

_GROUPS = 32


class GroupNorm(nn.Cell):
    """Group normalisation of 32 groups (Wu & He, 2018), in float32 whatever the precision of the network.

    Args:
        channels: channels of the feature map, divisible by 32.
        gamma_init: start of the factors; ``ones`` or ``zeros``.

    Input and output: (batch, channels, height, width).
    """

    def __init__(self, channels: int, gamma_init: str = "ones") -> None:
        super().__init__()
        self.gamma = Parameter(initializer(gamma_init, (channels,), ms.float32), name="gamma")
        self.beta = Parameter(initializer("zeros", (channels,), ms.float32), name="beta")

    def construct(self, x):
        batch, channels, _, _ = x.shape
        y = x.astype(ms.float32).reshape(batch * _GROUPS, -1)
        y = y - y.mean(1, keep_dims=True)
        scale = ops.rsqrt((y * y).mean(1, keep_dims=True) + 1e-5)
        # A row for each channel of each image: gradients are then sums along rows, which take half as long on CPU.
        scale = ops.tile(scale, (1, channels // _GROUPS)).reshape(batch, channels) * self.gamma.astype(ms.float32)
        shift = ops.tile(self.beta.astype(ms.float32), (batch,)).reshape(-1, 1)
        y = y.reshape(batch * channels, -1) * scale.reshape(-1, 1) + shift
        return y.reshape(x.shape).astype(x.dtype)


class Root(nn.Cell):
    """The first layers: a 7x7 convolution of stride 2, norm, relu, and a maximum over 3x3 of stride 2.

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
    """A residual unit: ``relu(shortcut(x) + branch(x))``, the branch being 1x1, 3x3 and 1x1 convolutions.

    Args:
        in_channels: channels of the input.
        width: channels of the two inner convolutions; the output has four times as many.
        stride: step of the 3x3 convolution, and of the shortcut's.

    Input: (batch, in_channels, height, width). Output: (batch, 4 * width, height / stride, width / stride).
    """

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = StandardizedConvolution(in_channels, width, 1)
        self.norm1 = GroupNorm(width)
        self.conv2 = StandardizedConvolution(width, width, 3, stride)
        self.norm2 = GroupNorm(width)
        self.conv3 = StandardizedConvolution(width, 4 * width, 1)
        # The unit starts as its shortcut.
        self.norm3 = GroupNorm(4 * width, gamma_init="zeros")
        self.projects = stride != 1 or in_channels != 4 * width
        if self.projects:
            self.projection = StandardizedConvolution(in_channels, 4 * width, 1, stride)
            self.projection_norm = GroupNorm(4 * width)

    def construct(self, x):
        shortcut = self.projection_norm(self.projection(x)) if self.projects else x
        x = ops.relu(self.norm1(self.conv1(x)))
        x = ops.relu(self.norm2(self.conv2(x)))
        return ops.relu(shortcut + self.norm3(self.conv3(x)))


class ResNetStem(nn.Cell):
    """The ResNet with group norm and standardised weights of the ViT paper's hybrids (Dosovitskiy et al., 2021).

    Its arithmetic is timm's. The paper's own code divides by ``std(w) + 1e-5`` in place of ``sqrt(var(w) + 1e-8)``,
    and its group norm's epsilon is 1e-6 in place of 1e-5. Fresh weights follow the paper's code.

    Args:
        layers: units of each stage. The first stage keeps the size of the root's map, each further one halves it.
        in_channels: channels of the image.
        width: inner channels of the first stage, divisible by 32; each further stage has twice as many.

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


def resnet_macs(layers: tuple[int, ...], in_channels: int, height: int, width: int, channels: int = 64) -> int:
    """Multiply-adds of a ``ResNetStem``'s convolutions for one image.

    Args:
        layers: units of each stage.
        in_channels: channels of the image.
        height: of the image, in pixels.
        width: of the image, in pixels.
        channels: inner channels of the first stage.
    """
    total = (height // 2) * (width // 2) * 7 * 7 * in_channels * channels
    places, entering, inner = (height // 4) * (width // 4), channels, channels
    for index, units in enumerate(layers):
        before, places = places, places if index == 0 else places // 4
        first = before * entering * inner + places * entering * 4 * inner
        others = (units - 1) * places * 4 * inner * inner
        total += first + others + units * places * (9 + 4) * inner * inner
        entering, inner = 4 * inner, 2 * inner
    return total
