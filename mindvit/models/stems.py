"""The table of stems: convolutional networks whose feature map feeds the Transformer."""

from functools import cache
from typing import Literal, get_args

from mindspore import nn

from mindvit.models.efficientnet import EfficientNetStem, efficientnet_macs
from mindvit.models.resnet import ResNetStem, resnet_macs

# Units of each stage. The ViT paper's R50 of stride 16 has the fourth stage's units in the third.
RESNETS: dict[str, tuple[int, ...]] = {"r26": (2, 2, 2, 2), "r50": (3, 4, 6, 3), "r50_s16": (3, 4, 9)}
_SHAPES = {"r26": (32, 2048), "r50": (32, 2048), "r50_s16": (16, 1024), "efficientnet_b0": (32, 320)}

StemName = Literal["r26", "r50", "r50_s16", "efficientnet_b0"]
STEMS = get_args(StemName)


def make_stem(name: str, in_channels: int = 3) -> nn.Cell:
    """The stem of a name, freshly initialised; it has the attributes ``stride`` and ``out_channels``.

    Args:
        name: one of ``STEMS``.
        in_channels: channels of the image.

    Raises:
        ValueError: for an unknown name.
    """
    _check(name)
    if name in RESNETS:
        return ResNetStem(RESNETS[name], in_channels)
    return EfficientNetStem(in_channels)


def stem_stride(name: str) -> int:
    """Pixels, along a side, of the image for each cell of the stem's feature map.

    Raises:
        ValueError: for an unknown name.
    """
    _check(name)
    return _SHAPES[name][0]


def stem_channels(name: str) -> int:
    """Channels of the stem's feature map.

    Raises:
        ValueError: for an unknown name.
    """
    _check(name)
    return _SHAPES[name][1]


def stem_macs(name: str, in_channels: int, height: int, width: int) -> int:
    """Multiply-adds of the stem's convolutions and dense layers for one image of ``height`` x ``width`` pixels.

    Norms and activations are left out, as is usual, and so is standardising the weights.

    Raises:
        ValueError: for an unknown name.
    """
    _check(name)
    if name in RESNETS:
        return resnet_macs(RESNETS[name], in_channels, height, width)
    return efficientnet_macs(in_channels, height, width)


@cache
def stem_parameters(name: str, in_channels: int) -> int:
    """The number of the stem's trained weights.

    Raises:
        ValueError: for an unknown name.
    """
    return sum(parameter.size for parameter in make_stem(name, in_channels).trainable_params())


def _check(name: str) -> None:
    if name not in STEMS:
        raise ValueError(f"stem must be one of {', '.join(STEMS)}, not {name!r}")
