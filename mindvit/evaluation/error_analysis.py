"""Where a network errs: metrics by class, confusions, calibration, and its most confident mistakes."""

from dataclasses import dataclass

import numpy as np

from mindvit.data.split import Split
from mindvit.evaluation.calibration import Calibration, calibrate
from mindvit.evaluation.class_metrics import (
    Averages,
    ClassMetrics,
    Confusion,
    average,
    confusion_matrix,
    list_confusions,
    measure_classes,
)
from mindvit.evaluation.image_predictions import ImagePredictions

_MISTAKES = 100


@dataclass(frozen=True)
class Mistake:
    """An image that is predicted as a class that it does not have."""

    index: int
    """Index of the image in the split."""
    file: str
    """Location of the image, as ``Split.describe``."""
    true: str
    """Id of the true class."""
    predicted: str
    """Id of the predicted class."""
    probability: float
    """Probability of the predicted class, 0 to 1."""
    true_probability: float
    """Probability of the true class, 0 to 1."""


@dataclass(frozen=True)
class ErrorAnalysis:
    """Where a network errs."""

    per_class: tuple[ClassMetrics, ...]
    """Metrics of each class, in the order of the labels."""
    macro: Averages
    """Means over the classes that have images, each of the same weight."""
    weighted: Averages
    """Means over the classes, weighted by their images."""
    confusion_matrix: np.ndarray
    """int64 (num_classes, num_classes): images by true class (row) and predicted class (column)."""
    confusions: tuple[Confusion, ...]
    """Every pair of classes that is confused, the most frequent first."""
    calibration: Calibration
    """Expected calibration error, Brier score and the reliability table."""
    num_mistakes: int
    """Images whose predicted class is not the true one."""
    mistakes: tuple[Mistake, ...]
    """The 100 mistakes with the greatest probability of the predicted class, the greatest first."""


def analyze_errors(predictions: ImagePredictions, split: Split) -> ErrorAnalysis:
    """Says where a network errs.

    Args:
        predictions: what it predicts; at least one image.
        split: the images, with the labels of the outputs of the network.
    """
    classes = split.classes
    per_class = measure_classes(predictions, classes)
    matrix = confusion_matrix(predictions, classes)
    wrong = mistakes_by_confidence(predictions)
    return ErrorAnalysis(
        per_class,
        average(per_class),
        average(per_class, weighted=True),
        matrix,
        list_confusions(matrix, classes),
        calibrate(predictions),
        len(wrong),
        tuple(_mistake(predictions, split, int(row)) for row in wrong[:_MISTAKES]),
    )


def mistakes_by_confidence(predictions: ImagePredictions) -> np.ndarray:
    """int64: the rows of the predictions that are wrong, the most confident first."""
    wrong = np.flatnonzero(~predictions.is_right)
    return wrong[np.argsort(-predictions.confidence[wrong], kind="stable")]


def _mistake(predictions: ImagePredictions, split: Split, row: int) -> Mistake:
    index, ids = int(predictions.indices[row]), split.classes.ids
    return Mistake(
        index,
        split.describe(index),
        ids[predictions.labels[row]],
        ids[predictions.predicted[row]],
        float(predictions.confidence[row]),
        float(predictions.true_probability[row]),
    )
