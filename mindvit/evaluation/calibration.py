"""Calibration: whether a network is right as often as its probabilities say."""

from dataclasses import dataclass

import numpy as np

from mindvit.evaluation.image_predictions import ImagePredictions

_BINS = 15
"""As in the paper's experiments."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The images whose confidence, the probability of the predicted class, lies in an interval."""

    low: float
    """Lower end, not included."""
    high: float
    """Upper end, included."""
    num_images: int
    """Images in the interval."""
    accuracy: float | None
    """Fraction of them that is classified correctly; None without images."""
    confidence: float | None
    """Their mean confidence; None without images."""


@dataclass(frozen=True)
class Calibration:
    """Calibration of the probability of the predicted class."""

    ece: float
    """Expected calibration error, 0 to 1."""
    brier: float
    """Mean Brier score over all classes, 0 to 2."""
    confidence: float
    """Mean confidence, 0 to 1; above the accuracy if the network is too confident."""
    bins: tuple[ReliabilityBin, ...]
    """The reliability table: 15 intervals of equal width."""


def calibrate(predictions: ImagePredictions) -> Calibration:
    """Measures calibration as Guo et al., "On Calibration of Modern Neural Networks", 2017, arXiv 1706.04599.

    ECE = sum over the bins of (images of the bin / images) * |accuracy - mean confidence|. The Brier score (Brier,
    1950) is the mean over the images of the sum over the classes of (probability - (1 for the true class, else 0))^2.

    Args:
        predictions: at least one image.
    """
    right, confidence = predictions.is_right, predictions.confidence
    number = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    bins, error = [], 0.0
    for index in range(_BINS):
        chosen = number == index
        count = int(chosen.sum())
        accuracy, mean = (float(right[chosen].mean()), float(confidence[chosen].mean())) if count else (None, None)
        bins.append(ReliabilityBin(index / _BINS, (index + 1) / _BINS, count, accuracy, mean))
        if count:
            error += count / len(predictions) * abs(accuracy - mean)
    return Calibration(error, float(predictions.brier.mean()), float(confidence.mean()), tuple(bins))
