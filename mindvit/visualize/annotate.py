"""Annotated images: an image with its predicted classes below it."""

import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from mindvit.errors import UserError
from mindvit.files import replacing
from mindvit.printable import printable

_MIN_SIDE = 480  # Pixels.
_MAX_SIDE = 8192  # Pixels.
_MAX_ROWS = 20
_MAX_NAME = 300  # Characters; far more than a row has space for.
_ROW_HEIGHT = 0.06  # As a fraction of the longer side of the image.
_BACKGROUND, _BAR, _TEXT = (32, 32, 32), (140, 90, 30), (255, 255, 255)  # blue, green, red


class RankedClass(Protocol):
    """A prediction, as one row of the annotation shows it."""

    label: int
    name: str
    probability: float


def write_annotated_image(image: np.ndarray, predictions: Sequence[RankedClass], path: Path) -> None:
    """Writes an annotated image: the image, and below it one row per prediction.

    A row shows the rank, the name, the probability, and a bar whose length is the probability. A small image is
    enlarged, and the rows of a large image are higher, so that the text is legible. OpenCV draws only ASCII: accents
    are removed, and a name in another script becomes "class N". Control characters are written as escape sequences.

    An image with a side of more than 8,192 pixels is shrunk, and at most 20 rows are drawn, so that memory is bounded.

    Args:
        image: RGB, uint8 (height, width, 3).
        predictions: the predictions, best first.
        path: the file; its extension selects the format.

    Raises:
        UserError: if OpenCV cannot be loaded, or the file cannot be written.
    """
    cv2 = _load_opencv()
    if not cv2.haveImageWriter(path.name):
        raise UserError(f"{path} has no image file extension; use .jpg or .png")
    if len(predictions) > _MAX_ROWS:
        warnings.warn(f"{path} shows the first {_MAX_ROWS} of {len(predictions):,} classes", stacklevel=2)
    drawn = annotate(image, predictions)
    try:
        written, encoded = cv2.imencode(path.suffix, drawn)
    except cv2.error:
        written = False
    if not written:
        height, width = drawn.shape[:2]
        raise UserError(f"{path.suffix} cannot store the {width:,} x {height:,} pixels of {path}; use .png")
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def annotate(image: np.ndarray, predictions: Sequence[RankedClass]) -> np.ndarray:
    """Draws the annotated image of ``write_annotated_image``.

    Args:
        image: RGB, uint8 (height, width, 3).
        predictions: the predictions, best first; at most 20 are drawn.

    Returns:
        BGR as in OpenCV, uint8 (height, width, 3).
    """
    cv2 = _load_opencv()
    height, width = image.shape[:2]
    scale_factor = _MIN_SIDE / max(height, width)
    if scale_factor > 1:
        # The pixels of a tiny image stay visible as squares; a larger image is interpolated.
        interpolation = cv2.INTER_NEAREST if scale_factor > 4 else cv2.INTER_CUBIC
        size = (max(round(width * scale_factor), 1), max(round(height * scale_factor), 1))
        image = cv2.resize(image, size, interpolation=interpolation)
    elif max(height, width) > _MAX_SIDE:
        factor = _MAX_SIDE / max(height, width)
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    height, width = image.shape[:2]
    predictions = predictions[:_MAX_ROWS]
    row = round(max(height, width) * _ROW_HEIGHT)
    canvas_width = max(width, _MIN_SIDE, row * 12)
    canvas = np.full((height + row * len(predictions), canvas_width, 3), _BACKGROUND, np.uint8)
    left = (canvas_width - width) // 2
    canvas[:height, left : left + width] = image[:, :, ::-1]

    font, margin = cv2.FONT_HERSHEY_SIMPLEX, row // 4
    thickness = max(row // 24, 1)
    scale = cv2.getFontScaleFromHeight(font, round(row * 0.45), thickness)
    for index, prediction in enumerate(predictions):
        top = height + index * row
        bar_corner = (round(canvas_width * prediction.probability), top + row - max(row // 10, 1))
        cv2.rectangle(canvas, (0, top), bar_corner, _BAR, cv2.FILLED)
        percent = f"{100 * prediction.probability:.1f} %"
        percent_width = cv2.getTextSize(percent, font, scale, thickness)[0][0]
        name = f"{index + 1}. {_ascii(prediction)}"
        while cv2.getTextSize(name, font, scale, thickness)[0][0] > canvas_width - percent_width - 3 * margin:
            name = name.removesuffix("...")[:-1] + "..."
        baseline = top + round(row * 0.68)
        cv2.putText(canvas, name, (margin, baseline), font, scale, _TEXT, thickness, cv2.LINE_AA)
        right = canvas_width - margin - percent_width
        cv2.putText(canvas, percent, (right, baseline), font, scale, _TEXT, thickness, cv2.LINE_AA)
    return canvas


def _ascii(prediction: RankedClass) -> str:
    plain = unicodedata.normalize("NFKD", printable(prediction.name, _MAX_NAME))
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return plain if plain.isascii() else f"class {prediction.label}"


def _load_opencv():
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            f"cannot load OpenCV ({error}). On a machine without graphics, install its libraries "
            "(Debian, Ubuntu: apt-get install libgl1 libglib2.0-0) or install opencv-python-headless instead"
        ) from error
    return cv2
