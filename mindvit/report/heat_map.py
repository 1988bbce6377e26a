"""The confusion matrix as a heat map."""

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mindvit.evaluation.evaluation_file import EvaluationRecord

MAX_CELLS = 25
"""Greatest number of classes whose counts are readable as a table."""
_FAINTEST = 0.12
"""Opacity of a cell with hardly any images."""
_RIGHT, _WRONG = (37, 99, 235), (220, 38, 38)


@dataclass(frozen=True)
class HeatCell:
    """A cell of the confusion matrix."""

    num_images: int
    share: float
    """Fraction of the images of the true class, 0 to 1."""
    strength: float
    """Opacity of the color, 0 to 1. It grows with the square root of the share, so that few confusions are seen."""
    is_right: bool
    """Whether it lies on the diagonal."""


def heat_cells(record: EvaluationRecord) -> list[list[HeatCell]] | None:
    """The cells by true class (row) and predicted class (column); None with too many classes for a table."""
    matrix = record.confusion_matrix
    if matrix is None or len(matrix) > MAX_CELLS:
        return None
    rows = []
    for true, counts in enumerate(matrix):
        total = sum(counts) or 1
        rows.append(
            [
                HeatCell(
                    count, count / total, _FAINTEST + (1 - _FAINTEST) * math.sqrt(count / total), true == predicted
                )
                for predicted, count in enumerate(counts)
            ]
        )
    return rows


def heat_image(record: EvaluationRecord) -> str | None:
    """The matrix as a PNG of one pixel per cell, as a data URI; None if the record has no matrix.

    The strength of a cell is its opacity, so that the image suits a light and a dark page.
    """
    if record.confusion_matrix is None:
        return None
    matrix = np.array(record.confusion_matrix, np.float64)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    strength = np.where(matrix > 0, _FAINTEST + (1 - _FAINTEST) * np.sqrt(shares), 0)
    colors = np.where(np.eye(len(matrix), dtype=bool)[:, :, None], _RIGHT, _WRONG)
    pixels = np.concatenate([colors, (255 * strength[:, :, None]).round()], axis=2).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
