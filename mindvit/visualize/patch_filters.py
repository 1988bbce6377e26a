"""The filters of the patch embedding, as in figure 7 of the ViT paper."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindvit.errors import UserError
from mindvit.factory import load_trained
from mindvit.files import make_folder
from mindvit.models.resnet import ResNetStem
from mindvit.models.vit import ViT
from mindvit.ops.convolution import StandardizedConvolution
from mindvit.printable import printable
from mindvit.visualize.figures import check_figure_path, make_figure, write_figure


@dataclass(frozen=True)
class FilterSettings:
    """A figure of the filters of the patch embedding."""

    ckpt: str
    """Checkpoint: a path, or the name of a file in ckpt/."""
    output: str
    """Figure to write; its extension sets the format (.png, .jpg, .webp, .pdf or .svg)."""
    components: int = 28
    """Number of principal components to draw, as in the ViT paper; at most all are."""
    download: bool = False
    """Download published weights that are missing."""

    def __post_init__(self) -> None:
        check_figure_path(self.output)
        if self.components < 1:
            raise ValueError(f"components must be at least 1, not {self.components}")


@dataclass(frozen=True)
class FilterComponents:
    """Principal components of the filters of the first layer."""

    components: np.ndarray
    """float64 (components, side, side, channels), each of length 1; its largest value is positive."""
    explained: np.ndarray
    """Share of the variance of the filters that each component explains, from 0 to 1, in descending order."""


def visualize_filters(settings: FilterSettings) -> None:
    """Writes a figure of the filters of the first layer of a checkpoint.

    Raises:
        UserError: for a mistake in the settings or the checkpoint.
    """
    make_folder(Path(settings.output).parent)
    network = load_trained(settings.ckpt, settings.download).network
    draw_filters(network, Path(settings.output), settings.components)
    print(f"wrote {printable(settings.output)}")


def first_layer_filters(network: ViT) -> np.ndarray:
    """The filters of the first layer: of the patch embedding, or for a hybrid of the first convolution of its stem.

    The filters of a ResNet stem are standardized, as the convolution uses them.

    Returns:
        float64 (filters, side, side, channels).
    """
    if not network.has_stem:
        conv = network.patch_embedding.conv
    else:
        conv = network.stem.root.conv if isinstance(network.stem, ResNetStem) else network.stem.conv
    filters = conv.weight.asnumpy().astype(np.float64).transpose(0, 2, 3, 1)
    if isinstance(conv, StandardizedConvolution):
        axes = (1, 2, 3)
        filters = (filters - filters.mean(axes, keepdims=True)) / np.sqrt(filters.var(axes, keepdims=True) + 1e-8)
    return filters


def filter_components(network: ViT, count: int | None = None) -> FilterComponents:
    """Principal component analysis of the filters of the first layer.

    Each filter is a point in the space of pixels. Its components are directions in that space, so they can be drawn as
    patches.

    Args:
        network: the network.
        count: number of components, the first; None, or more than there are: all.

    Raises:
        UserError: if the filters are not finite.
    """
    filters = first_layer_filters(network)
    points = filters.reshape(len(filters), -1)
    if not np.isfinite(points).all():
        raise UserError("the filters of the first layer are not finite; the weights of the checkpoint are broken")
    _, lengths, directions = np.linalg.svd(points - points.mean(0), full_matrices=False)
    # The sign of a component is arbitrary; this one does not depend on the library.
    largest = np.abs(directions).argmax(1)[:, None]
    directions = directions * np.sign(np.take_along_axis(directions, largest, 1))
    variances = lengths**2
    total = variances.sum()
    explained = variances / total if total > 0 else np.zeros_like(variances)
    return FilterComponents(directions[:count].reshape(-1, *filters.shape[1:]), explained[:count])


def as_image(component: np.ndarray) -> np.ndarray:
    """A component as RGB, uint8, scaled so that its least value is black and its greatest white."""
    low, high = component.min(), component.max()
    scaled = (component - low) / (high - low) if high > low else np.full_like(component, 0.5)
    return (255 * scaled).round().astype(np.uint8)


def draw_filters(network: ViT, path: Path, count: int = 28) -> None:
    """Draws the first principal components of the filters of the first layer as RGB patches.

    Args:
        network: the network.
        path: the file; its extension sets the format.
        count: number of components; at most all are drawn.

    Raises:
        UserError: as ``filter_components``, or if the file cannot be written.
    """
    found = filter_components(network, count)
    drawn = len(found.components)
    columns = min(drawn, 7 if drawn <= 28 else math.ceil(math.sqrt(drawn)))
    rows = math.ceil(drawn / columns)
    figure = make_figure(columns * 0.95 + 0.3, rows * 1.07 + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, component, explained in zip(grid, found.components, found.explained, strict=False):
        axes.imshow(as_image(component), interpolation="nearest")
        axes.set_title(f"{100 * explained:.1f} %", fontsize=7, pad=2)
    what = "first convolution of the stem" if network.has_stem else "patch embedding"
    figure.suptitle(f"Principal components of the filters: {what}", fontsize=10)
    write_figure(figure, path)
