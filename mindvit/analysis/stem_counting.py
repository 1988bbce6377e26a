"""Number of parameters and multiply-adds of the stems."""

from functools import cache

from mindvit.models.efficientnet import ROOT_CHANNELS, SQUEEZE_REDUCTION, STAGES
from mindvit.models.stems import RESNETS, check_stem_name, make_stem


@cache
def stem_parameters(name: str, in_channels: int) -> int:
    """Number of trainable parameters of a stem.

    Raises:
        ValueError: for an unknown name.
    """
    return sum(parameter.size for parameter in make_stem(name, in_channels).trainable_params())


def stem_macs(name: str, in_channels: int, height: int, width: int) -> int:
    """Multiply-adds of the convolutions and dense layers of a stem for one image.

    As usual, norms and activations are not counted; neither is weight standardization.

    Args:
        name: one of ``mindvit.models.stems.STEMS``.
        in_channels: channels of the image.
        height: height of the image, in pixels.
        width: width of the image, in pixels.

    Raises:
        ValueError: for an unknown name.
    """
    check_stem_name(name)
    if name in RESNETS:
        return _resnet_macs(RESNETS[name], in_channels, height, width)
    return _efficientnet_macs(in_channels, height, width)


def _resnet_macs(layers: tuple[int, ...], in_channels: int, height: int, width: int, channels: int = 64) -> int:
    """Multiply-adds of a ``ResNetStem`` whose first stage has ``channels`` inner channels."""
    total = (height // 2) * (width // 2) * 7 * 7 * in_channels * channels
    positions, stage_in, inner = (height // 4) * (width // 4), channels, channels
    for index, units in enumerate(layers):
        positions_in, positions = positions, positions if index == 0 else positions // 4
        first_unit = positions_in * stage_in * inner + positions * stage_in * 4 * inner
        other_units = (units - 1) * positions * 4 * inner * inner
        total += first_unit + other_units + units * positions * (9 + 4) * inner * inner
        stage_in, inner = 4 * inner, 2 * inner
    return total


def _efficientnet_macs(in_channels: int, height: int, width: int) -> int:
    """Multiply-adds of an ``EfficientNetStem``, squeeze-and-excitation included."""
    positions = (height // 2) * (width // 2)
    total, block_in = positions * 9 * in_channels * ROOT_CHANNELS, ROOT_CHANNELS
    for expansion, kernel_size, stride, block_out, blocks in STAGES:
        for block in range(blocks):
            inner, positions_in = block_in * expansion, positions
            positions = positions // stride**2 if block == 0 else positions
            expand = positions_in * block_in * inner if expansion != 1 else 0
            squeeze = 2 * inner * (block_in // SQUEEZE_REDUCTION)
            total += expand + positions * kernel_size**2 * inner + squeeze + positions * inner * block_out
            block_in = block_out
    return total
