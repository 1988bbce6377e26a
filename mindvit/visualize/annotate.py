"""An image with its predicted classes written below it."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from mindvit.errors import UserError
from mindvit.files import replacing

_MIN_SIDE = 480
_ROW_OF_SIDE = 0.06
_BACKGROUND, _BAR, _TEXT = (32, 32, 32), (140, 90, 30), (255, 255, 255)  # blue, green, red


class RankedClass(Protocol):
    """What a row of the labels is made from."""

    label: int
    name: str
    probability: float


def write_annotated_image(image: np.ndarray, predictions: Sequence[RankedClass], path: Path) -> None:
    """Writes an image with a row for each prediction below it: rank, name, probability, and a bar as long as that.

    A small image is enlarged, and rows grow with a large one, so that the text can be read on both. OpenCV draws
    ASCII only: accents are dropped, and a name in another script becomes "class N".

    Args:
        image: RGB, uint8 (height, width, 3).
        predictions: best first.
        path: the file; its ending chooses the format.

    Raises:
        UserError: if OpenCV cannot be loaded, or the file cannot be written.
    """
    cv2 = _load_opencv()
    drawn = annotate(image, predictions)
    try:
        written, encoded = cv2.imencode(path.suffix, drawn)
    except cv2.error:
        written = False
    if not written:
        raise UserError(f"{path} has no ending that an image can be written as; use .jpg or .png")
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def annotate(image: np.ndarray, predictions: Sequence[RankedClass]) -> np.ndarray:
    """Draws what ``write_annotated_image`` writes. Returns it as BGR, OpenCV's order, uint8 (height, width, 3)."""
    cv2 = _load_opencv()
    height, width = image.shape[:2]
    enlarge = _MIN_SIDE / max(height, width)
    if enlarge > 1:
        # Pixels of a tiny image stay visible as squares; a somewhat larger one is smoothed.
        how = cv2.INTER_NEAREST if enlarge > 4 else cv2.INTER_CUBIC
        size = (max(round(width * enlarge), 1), max(round(height * enlarge), 1))
        image = cv2.resize(image, size, interpolation=how)
        height, width = image.shape[:2]
    row = round(max(height, width) * _ROW_OF_SIDE)
    canvas_width = max(width, _MIN_SIDE, row * 12)
    canvas = np.full((height + row * len(predictions), canvas_width, 3), _BACKGROUND, np.uint8)
    left = (canvas_width - width) // 2
    canvas[:height, left : left + width] = image[:, :, ::-1]

    font, margin = cv2.FONT_HERSHEY_SIMPLEX, row // 4
    thickness = max(row // 24, 1)
    scale = cv2.getFontScaleFromHeight(font, round(row * 0.45), thickness)
    for index, prediction in enumerate(predictions):
        top = height + index * row
        bottom_of_bar = (round(canvas_width * prediction.probability), top + row - max(row // 10, 1))
        cv2.rectangle(canvas, (0, top), bottom_of_bar, _BAR, cv2.FILLED)
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
    plain = unicodedata.normalize("NFKD", prediction.name)
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return plain if plain.isascii() else f"class {prediction.label}"


def _load_opencv():
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            f"OpenCV cannot be loaded ({error}). On a server without graphics, install its libraries "
            "(Debian, Ubuntu: apt-get install libgl1 libglib2.0-0) or put opencv-python-headless in its place"
        ) from error
    return cv2
