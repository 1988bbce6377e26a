"""Annotated images: an image with its predicted classes below it."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mindvit.visualize.class_labels import RankedClass, drawn_name
from mindvit.visualize.image_file import check_image_file, write_image
from mindvit.visualize.text import draw_text, shorten, text_width

_MIN_SIDE = 480  # Pixels.
_MAX_SIDE = 8192  # Pixels.
_MAX_ROWS = 20
_ROW_HEIGHT = 0.06  # As a fraction of the longer side of the image.
_TEXT_SIZE = 0.58  # As a fraction of the height of a row.
_BACKGROUND, _BAR, _TEXT = (32, 32, 32), (30, 90, 140), (255, 255, 255)


def write_annotated_image(image: np.ndarray, predictions: Sequence[RankedClass], path: Path) -> None:
    """Writes an annotated image: the image, and below it one row per prediction.

    A row shows the rank, the name, the probability, and a bar whose length is the probability. A small image is
    enlarged, and the rows of a large image are higher, so that the text is legible. Names are drawn in any script that
    an installed font has: see ``class_labels.drawn_name``.

    An image with a side of more than 8,192 pixels is shrunk, and at most 20 rows are drawn, so that memory is bounded.

    Args:
        image: RGB, uint8 (height, width, 3).
        predictions: the predictions, best first.
        path: the file; its extension selects the format.

    Raises:
        UserError: if the extension is not that of an image, or the file cannot be written.
    """
    check_image_file(path)
    if len(predictions) > _MAX_ROWS:
        # The same words for every image, so that Python prints them once.
        warnings.warn(f"an annotated image shows the first {_MAX_ROWS} of {len(predictions):,} classes", stacklevel=2)
    write_image(Image.fromarray(annotate(image, predictions)), path)


def annotate(image: np.ndarray, predictions: Sequence[RankedClass]) -> np.ndarray:
    """Draws the annotated image of ``write_annotated_image``.

    Args:
        image: RGB, uint8 (height, width, 3).
        predictions: the predictions, best first; at most 20 are drawn.

    Returns:
        RGB, uint8 (height, width, 3).
    """
    shown = _resize(Image.fromarray(image))
    predictions = predictions[:_MAX_ROWS]
    row = round(max(shown.size) * _ROW_HEIGHT)
    canvas_width = max(shown.width, _MIN_SIDE, row * 12)
    canvas = Image.new("RGB", (canvas_width, shown.height + row * len(predictions)), _BACKGROUND)
    canvas.paste(shown, ((canvas_width - shown.width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    size, margin = round(row * _TEXT_SIZE), row // 4
    for index, prediction in enumerate(predictions):
        top = shown.height + index * row
        bar_right = round(canvas_width * prediction.probability)
        if bar_right > 0:
            draw.rectangle((0, top, bar_right - 1, top + row - max(row // 10, 1)), _BAR)
        baseline = top + round(row * 0.68)
        rank, percent = f"{index + 1}. ", f"{100 * prediction.probability:.1f} %"
        right = canvas_width - margin - text_width(percent, size)
        left = margin + text_width(rank, size)
        name = shorten(drawn_name(prediction), size, right - margin - left)
        for start, text in ((margin, rank), (left, name), (right, percent)):
            draw_text(draw, (start, baseline), text, size, _TEXT)
    return np.asarray(canvas)


def _resize(image: Image.Image) -> Image.Image:
    factor = _MIN_SIDE / max(image.size)
    if factor > 1:
        # The pixels of a tiny image stay visible as squares; a larger image is interpolated.
        resample = Image.Resampling.NEAREST if factor > 4 else Image.Resampling.BICUBIC
    elif max(image.size) > _MAX_SIDE:
        factor, resample = _MAX_SIDE / max(image.size), Image.Resampling.BOX
    else:
        return image
    return image.resize(tuple(max(round(side * factor), 1) for side in image.size), resample)
