"""The similarity of position embeddings, as in figure 7 of the ViT paper."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindvit.errors import UserError
from mindvit.factory import load_trained
from mindvit.files import make_folder
from mindvit.models.pos_embed import join_rows_and_columns
from mindvit.models.vit import ViT
from mindvit.printable import printable
from mindvit.visualize.figures import check_colormap, check_figure_path, make_figure, write_figure

_MAX_MAPS = 24
"""Greatest number of maps along a side of the figure."""


@dataclass(frozen=True)
class PositionSettings:
    """A figure of the position embeddings."""

    ckpt: str
    """Checkpoint: a path, or the name of a file in ckpt/."""
    output: str
    """Figure to write; its extension sets the format (.png, .jpg, .webp, .pdf or .svg)."""
    colormap: str = "viridis"
    """Colormap of Matplotlib."""
    download: bool = False
    """Download published weights that are missing."""

    def __post_init__(self) -> None:
        check_figure_path(self.output)


def visualize_positions(settings: PositionSettings) -> None:
    """Writes a figure of the similarity of the position embeddings of a checkpoint.

    Raises:
        UserError: for a mistake in the settings or the checkpoint, or if the network has no table of positions.
    """
    check_colormap(settings.colormap)
    make_folder(Path(settings.output).parent)
    network = load_trained(settings.ckpt, settings.download).network
    draw_positions(network, Path(settings.output), settings.colormap)
    print(f"wrote {printable(settings.output)}")


def position_similarity(network: ViT, maximum: int | None = None) -> np.ndarray:
    """The cosine similarity of the position embedding of each patch with those of all patches.

    Args:
        network: a network with pos_embed learned, learned2d or sincos2d.
        maximum: greatest number of patches along a side whose maps are computed, evenly spaced; None: all.

    Returns:
        float64 (rows, columns, grid rows, grid columns): for each patch a map over the grid, -1 to 1.

    Raises:
        UserError: if the network has no table of positions, or if it is not finite.
    """
    table = position_table(network)
    if not np.isfinite(table).all():
        raise UserError("the position embeddings are not finite; the weights of the checkpoint are broken")
    # A row of zeros has no direction: its similarity is 0.
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    directions = np.divide(table, lengths, out=np.zeros_like(table), where=lengths > 0)
    grid = network.config.grid
    rows, columns = (shown_patches(side, maximum) for side in grid)
    shown = directions.reshape(*grid, -1)[np.ix_(rows, columns)]
    return (shown @ directions.T).clip(-1, 1).reshape(len(rows), len(columns), *grid)


def position_table(network: ViT) -> np.ndarray:
    """The position embeddings of the patches, float64 (patches, embed_dim), row by row.

    Raises:
        UserError: if the network has none: with pos_embed relative or none.
    """
    config = network.config
    if config.pos_embed == "relative":
        raise UserError(
            "the network has a relative position bias (pos_embed relative) instead of an embedding of each position, "
            "so there is no similarity to draw"
        )
    if config.pos_embed == "none":
        raise UserError("the network has no position embedding (pos_embed none), so there is no similarity to draw")
    if config.pos_embed == "learned2d":
        table = join_rows_and_columns(network.pos_rows, network.pos_columns)
    else:
        table = network.pos_embedding
    return table.asnumpy()[0, config.pos_embed_tokens :].astype(np.float64)


def shown_patches(side: int, maximum: int | None) -> np.ndarray:
    """Indices of at most ``maximum`` patches along a side, evenly spaced, the first and the last included."""
    count = side if maximum is None else min(side, maximum)
    return np.linspace(0, side - 1, count).round().astype(int)


def draw_positions(network: ViT, path: Path, colormap: str = "viridis") -> None:
    """Draws a map for each patch: the similarity of its position embedding with those of all patches.

    The maps lie as their patches lie in the image. A grid of more than 24 rows or columns has maps of 24 of them,
    evenly spaced.

    Args:
        network: a network with pos_embed learned, learned2d or sincos2d.
        path: the file; its extension sets the format.
        colormap: name of a colormap of Matplotlib.

    Raises:
        UserError: as ``position_similarity``, or if the file cannot be written.
    """
    similarity = position_similarity(network, _MAX_MAPS)
    down, across, rows, columns = similarity.shape
    gap = max(round(0.12 * max(rows, columns)), 1)
    canvas = np.full((down * (rows + gap) - gap, across * (columns + gap) - gap), np.nan)
    for row in range(down):
        for column in range(across):
            top, left = row * (rows + gap), column * (columns + gap)
            canvas[top : top + rows, left : left + columns] = similarity[row, column]
    scale = 7 / max(canvas.shape)
    figure = make_figure(max(canvas.shape[1] * scale, 2.5) + 2, max(canvas.shape[0] * scale, 1.5) + 1.2)
    axes = figure.subplots()
    shown = axes.imshow(canvas, cmap=colormap, vmin=similarity.min(), vmax=1, interpolation="nearest")
    for axis, count, side, label in (
        (axes.xaxis, across, columns, "column of the patch"),
        (axes.yaxis, down, rows, "row of the patch"),
    ):
        numbers = shown_patches(side, _MAX_MAPS)
        every = max(count // 12, 1)
        axis.set_ticks([(index * (side + gap) + (side - 1) / 2) for index in range(0, count, every)])
        axis.set_ticklabels([str(number + 1) for number in numbers[::every]])
        axis.set_label_text(label)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    axes.set_title(f"Position embedding similarity ({network.config.pos_embed})")
    figure.colorbar(shown, ax=axes, label="cosine similarity", shrink=0.85)
    write_figure(figure, path)
