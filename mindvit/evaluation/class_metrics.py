"""Precision, recall and F1 of each class, and which classes are taken for which."""

from dataclasses import dataclass

import numpy as np

from mindvit.classes import Classes
from mindvit.evaluation.image_predictions import ImagePredictions


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one class."""

    id: str
    """Class id: a folder name, or a WordNet id."""
    name: str
    """Class name, for display."""
    precision: float | None
    """Correct predictions of the class / all predictions of it, 0 to 1. 0 if a class that has images is never
    predicted; None if it has neither images nor predictions."""
    recall: float | None
    """Correct predictions of the class / its images, 0 to 1; None without images."""
    f1: float | None
    """2 * precision * recall / (precision + recall), 0 to 1; None without images."""
    support: int
    """Images of the class."""
    predicted: int
    """Images that are predicted as this class."""


@dataclass(frozen=True)
class Averages:
    """Means over the classes that have images."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Confusion:
    """Images of one class that are predicted as another."""

    true: str
    """Id of the true class."""
    predicted: str
    """Id of the predicted class."""
    num_images: int
    """Images."""
    share: float
    """Fraction of the images of the true class, 0 to 1."""


def measure_classes(predictions: ImagePredictions, classes: Classes) -> tuple[ClassMetrics, ...]:
    """The metrics of each class, in the order of the labels, as scikit-learn computes them."""
    from sklearn.metrics import precision_recall_fscore_support  # The import takes a second.

    found = precision_recall_fscore_support(
        predictions.labels, predictions.predicted, labels=range(len(classes)), zero_division=0.0
    )
    counts = np.bincount(predictions.predicted, minlength=len(classes)).tolist()
    rows = zip(classes.ids, classes.names, *(column.tolist() for column in found), counts, strict=True)
    return tuple(
        ClassMetrics(
            id,
            name,
            precision if support or predicted else None,
            recall if support else None,
            f1 if support else None,
            int(support),
            predicted,
        )
        for id, name, precision, recall, f1, support, predicted in rows
    )


def average(metrics: tuple[ClassMetrics, ...], weighted: bool = False) -> Averages:
    """Means over the classes that have images.

    Args:
        metrics: the metrics of the classes.
        weighted: whether each class counts by its images (weighted average) or all count alike (macro average).
    """
    present = [item for item in metrics if item.support]
    weights = [item.support if weighted else 1 for item in present]
    return Averages(
        *(
            float(np.average([getattr(item, name) for item in present], weights=weights))
            for name in ("precision", "recall", "f1")
        )
    )


def confusion_matrix(predictions: ImagePredictions, classes: Classes) -> np.ndarray:
    """int64 (num_classes, num_classes): images by true class (row) and predicted class (column)."""
    from sklearn.metrics import confusion_matrix as count

    return count(predictions.labels, predictions.predicted, labels=range(len(classes)))


def list_confusions(matrix: np.ndarray, classes: Classes) -> tuple[Confusion, ...]:
    """Every pair of classes that is confused, the most frequent first; of equals, the one with the greater share."""
    support = matrix.sum(axis=1)
    found = [
        Confusion(classes.ids[true], classes.ids[predicted], int(matrix[true, predicted]), share)
        for true, predicted in np.argwhere(matrix)
        for share in [float(matrix[true, predicted] / support[true])]
        if true != predicted
    ]
    return tuple(sorted(found, key=lambda pair: (-pair.num_images, -pair.share)))
