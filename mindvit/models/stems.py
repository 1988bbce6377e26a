"""The stems of hybrids: convolutional networks whose feature map is the input of the Transformer."""

from typing import Literal, get_args

from mindspore import nn

from mindvit.models.efficientnet import EfficientNetStem
from mindvit.models.resnet import ResNetStem

# Units of each stage. In the R50 of stride 16 of the ViT paper, the units of the fourth stage are in the third.
RESNETS: dict[str, tuple[int, ...]] = {"r26": (2, 2, 2, 2), "r50": (3, 4, 6, 3), "r50_s16": (3, 4, 9)}
# Stride and output channels.
_SHAPES = {"r26": (32, 2048), "r50": (32, 2048), "r50_s16": (16, 1024), "efficientnet_b0": (32, 320)}

StemName = Literal["r26", "r50", "r50_s16", "efficientnet_b0"]
STEMS = get_args(StemName)


def make_stem(name: str, in_channels: int = 3) -> nn.Cell:
    """Creates a stem with random weights. It has the attributes ``stride`` and ``out_channels``.

    Args:
        name: one of ``STEMS``.
        in_channels: channels of the image.

    Raises:
        ValueError: for an unknown name.
    """
    check_stem_name(name)
    if name in RESNETS:
        return ResNetStem(RESNETS[name], in_channels)
    return EfficientNetStem(in_channels)


def stem_stride(name: str) -> int:
    """Stride of a stem: pixels of the image per cell of the feature map, along one side.

    Raises:
        ValueError: for an unknown name.
    """
    check_stem_name(name)
    return _SHAPES[name][0]


def stem_channels(name: str) -> int:
    """Channels of the feature map of a stem.

    Raises:
        ValueError: for an unknown name.
    """
    check_stem_name(name)
    return _SHAPES[name][1]


def check_stem_name(name: str) -> None:
    """Checks that a stem exists.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in STEMS:
        raise ValueError(f"stem must be one of {', '.join(STEMS)}, not {name!r}")
