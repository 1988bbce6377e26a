"""A figure of attention: an image, its attention rollout, and the heads of a block."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from mindvit.classes import Classes
from mindvit.data.images import read_image
from mindvit.errors import UserError
from mindvit.factory import TrainedModel, load_trained
from mindvit.files import make_folder
from mindvit.models.attention_weights import HeadFusion
from mindvit.models.setting_checks import check_values
from mindvit.models.vit_config import ViTConfig
from mindvit.printable import printable
from mindvit.runtime import RuntimeSettings, apply_amp, init_runtime
from mindvit.visualize.attention_maps import (
    AttentionMaps,
    ImageAttention,
    check_discard_ratio,
    evaluation_crop,
    overlay,
    scaled,
)
from mindvit.visualize.figures import check_colormap, check_figure_path, make_figure, write_figure
from mindvit.visualize.fonts import drawable, note_missing_fonts

_MAX_COLUMNS = 6
_MAX_IMAGES = 16
_PANEL = 1.9  # Inches.
_MAX_NAME = 40  # Characters of a class name.


@dataclass(frozen=True)
class AttentionSettings:
    """A figure of the attention in an image."""

    ckpt: str
    """Checkpoint: a path, or the name of a file in ckpt/."""
    image: tuple[str, ...] | str
    """Image files, at most 16."""
    output: str
    """Figure to write; its extension sets the format (.png, .jpg, .webp, .pdf or .svg)."""
    block: int | None = -1
    """Block whose single heads are drawn, from 0, or from the last with -1. null draws the rollout alone."""
    head_fusion: HeadFusion = "mean"
    """How the rollout fuses the heads of a block: mean as in the paper, max or min."""
    discard_ratio: float = 0.0
    """Fraction of the weights of each block, the smallest, that the rollout discards. 0 discards none, as in the
    paper."""
    colormap: str = "inferno"
    """Colormap of Matplotlib."""
    opacity: float = 0.5
    """Opacity of the maps over the image, from 0 to 1."""
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    download: bool = False
    """Download published weights that are missing."""

    def __post_init__(self) -> None:
        check_values(self)
        check_figure_path(self.output)
        check_discard_ratio(self.discard_ratio)
        if not isinstance(self.image, str) and not 1 <= len(self.image) <= _MAX_IMAGES:
            raise ValueError(f"image must name 1 to {_MAX_IMAGES} files, not {len(self.image)}")
        if not 0 <= self.opacity <= 1:
            raise ValueError(f"opacity must lie between 0 and 1, not {self.opacity}")


def visualize_attention(settings: AttentionSettings) -> None:
    """Writes a figure of the attention in an image.

    Raises:
        UserError: for a mistake in the settings, the checkpoint or the image.
    """
    check_colormap(settings.colormap)
    runtime = init_runtime(settings.runtime)
    make_folder(Path(settings.output).parent)
    files = (settings.image,) if isinstance(settings.image, str) else settings.image
    images = [read_image(Path(file)) for file in files]
    trained = load_trained(settings.ckpt, settings.download)
    block = resolve_block(settings.block, trained.metadata.model)
    network = apply_amp(trained.network, runtime)
    trained = TrainedModel(network, trained.metadata)
    maps = AttentionMaps(trained, settings.head_fusion, settings.discard_ratio)
    draw_attention(
        images,
        [maps(image) for image in images],
        trained,
        Path(settings.output),
        block,
        settings.colormap,
        settings.opacity,
    )
    print(f"wrote {printable(settings.output)}")


def resolve_block(block: int | None, config: ViTConfig) -> int | None:
    """The index of a block from 0; of a negative one, from the last.

    Raises:
        UserError: if there is no such block.
    """
    if block is not None and not -config.depth <= block < config.depth:
        raise UserError(f"there is no block {block}; the network has {config.depth}, from 0 to {config.depth - 1}")
    return None if block is None else block % config.depth


def draw_attention(
    images: Sequence[Image.Image],
    attention: Sequence[ImageAttention],
    model: TrainedModel,
    path: Path,
    block: int | None = None,
    colormap: str = "inferno",
    opacity: float = 0.5,
) -> None:
    """Draws the area of an image that the network sees, the attention rollout over it, and the heads of a block.

    One image has its heads in rows below it. Several images have a row each.

    Each map is scaled from its least to its greatest value; its title says how much of the attention is on patches at
    all. The rest is on the class token, the distillation token and the registers.

    Args:
        images: RGB, in display orientation.
        attention: what ``AttentionMaps`` returns for each.
        model: the network and its metadata.
        path: the file; its extension sets the format.
        block: block whose heads are drawn, from 0; None draws none.
        colormap: name of a colormap of Matplotlib.
        opacity: of the maps, from 0 to 1.

    Raises:
        UserError: if the file cannot be written.
    """
    import matplotlib.cm

    config, classes = model.metadata.model, model.metadata.classes
    overlap = config.patch_size / (config.patch_stride or config.patch_size)
    predictions = [_prediction(found.probabilities, classes) for found in attention]
    rows: list[list[tuple[str, Image.Image]]] = []
    for image, found, prediction in zip(images, attention, predictions, strict=True):
        shown = evaluation_crop(image, config)
        maps = [("rollout", found.rollout)]
        maps += [(f"head {head}", weights) for head, weights in enumerate([] if block is None else found.heads[block])]
        drawn = [(_title(*item), overlay(shown, scaled(item[1]), colormap, opacity, overlap)) for item in maps]
        rows.append([(f"input\n{prediction}", shown), *drawn])
    if len(rows) == 1 and block is not None:
        first, heads = rows[0][:2], rows[0][2:]
        columns = min(max(len(heads), 2), _MAX_COLUMNS)
        rows = [first, *(heads[start : start + columns] for start in range(0, len(heads), columns))]
    columns = max(map(len, rows))
    ratio = config.image_shape[0] / config.image_shape[1]
    figure = make_figure(columns * _PANEL + 0.9, len(rows) * (_PANEL * ratio + 0.4) + 0.3)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for line, row in zip(grid, rows, strict=True):
        for axes, (title, pixels) in zip(line, row, strict=False):
            axes.imshow(np.asarray(pixels))
            axes.set_title(title, fontsize=8)
    scale = figure.colorbar(matplotlib.cm.ScalarMappable(cmap=colormap), ax=grid, fraction=0.03, aspect=40)
    scale.set_ticks([0, 1], labels=["least", "most"])
    if block is not None:
        figure.suptitle(f"Attention rollout of all {config.depth} blocks, and heads of block {block}", fontsize=10)
    write_figure(figure, path, predictions)


def _title(name: str, weights: np.ndarray) -> str:
    return f"{name}\n{100 * weights.sum():.0f} % on patches"


def _prediction(probabilities: np.ndarray, classes: Classes | None) -> str:
    label = int(probabilities.argmax())
    name = f"class {label}"
    if classes is not None:
        name = printable(classes.names[label], _MAX_NAME)
        note_missing_fonts([name])
        name = drawable(name) or printable(classes.ids[label], _MAX_NAME)
    return f"{name}: {100 * probabilities[label]:.1f} %"
