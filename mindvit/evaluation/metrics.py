"""Evaluation metrics: Top-1 and Top-5 accuracy and loss, over every image exactly once."""

from dataclasses import dataclass, field

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.dataset import Dataset
from mindspore.train import Metric, Model

from mindvit.data.split import PADDING_LABEL
from mindvit.distributed import all_reduce_sum
from mindvit.evaluation.error_analysis import ErrorAnalysis
from mindvit.evaluation.image_predictions import ImagePredictions


@dataclass(frozen=True)
class Evaluation:
    """The metrics of one evaluation. They are NaN if the outputs for an image are not finite."""

    top1: float
    """Top-1 accuracy, in percent."""
    top5: float
    """Top-5 accuracy, in percent."""
    loss: float
    """Mean cross-entropy, without label smoothing."""
    num_images: int
    """Images evaluated."""
    num_not_finite: int = 0
    """Images for which an output of the network was NaN or infinite."""
    predictions: ImagePredictions | None = field(default=None, compare=False, repr=False)
    """The prediction of each image; None in an evaluation during training."""
    analysis: ErrorAnalysis | None = field(default=None, compare=False, repr=False)
    """Metrics by class, confusions, calibration and mistakes; None in an evaluation during training."""


class EvaluationCell(nn.Cell):
    """Runs a network for evaluation: (images, labels) to (float32 logits, labels)."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, images, labels):
        return self.network(images).astype(ms.float32), labels


class _Mean(Metric):
    """A mean over the images of all ranks, without padding.

    Sums and counts are reduced, and not means, so that each image has the same weight.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        self._sum = 0.0
        self._count = 0

    def update(self, *inputs) -> None:
        logits, labels = (self._convert_data(item) for item in inputs)
        real = labels != PADDING_LABEL
        with np.errstate(invalid="ignore"):
            values = self.per_image(logits[real].astype(np.float64), labels[real])
        self._sum += float(values.sum())
        self._count += int(real.sum())

    def eval(self) -> float:
        total, count = all_reduce_sum(np.array([self._sum, self._count], np.float64))
        return float(total / count) if count else float("nan")

    def per_image(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The value of each image, from logits (n, num_classes) and labels (n,)."""
        raise NotImplementedError


class TopK(_Mean):
    """Top-k accuracy: the percentage of images whose class is among the k greatest logits.

    Of equal logits, the one with the smaller class index ranks first. It is NaN if a logit is not finite.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def per_image(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        own = np.take_along_axis(logits, labels[:, None], axis=1)
        earlier = np.arange(logits.shape[1]) < labels[:, None]
        rank = ((logits > own) | ((logits == own) & earlier)).sum(axis=1)
        return np.where(np.isfinite(logits).all(axis=1), 100.0 * (rank < self.k), np.nan)


class CrossEntropy(_Mean):
    """Mean softmax cross-entropy of the true class, without label smoothing. It is NaN if a logit is not finite."""

    def per_image(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        top = logits.max(axis=1, keepdims=True)
        log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
        loss = log_sum - np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
        return np.where(np.isfinite(logits).all(axis=1), loss, np.nan)


class _Count(_Mean):
    """A number of images, of all ranks."""

    def eval(self) -> int:
        return int(all_reduce_sum(np.array([self._sum], np.float64))[0])


class NumImages(_Count):
    """The number of images evaluated."""

    def per_image(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.ones(len(labels))


class NumNotFinite(_Count):
    """The number of images with a logit that is not finite."""

    def per_image(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return ~np.isfinite(logits).all(axis=1)


def metrics() -> dict[str, Metric]:
    """The metrics of an ``Evaluation``, for ``mindspore.train.Model``. They read the outputs of ``EvaluationCell``."""
    means = {"top1": TopK(1), "top5": TopK(5), "loss": CrossEntropy()}
    return {**means, "num_images": NumImages(), "num_not_finite": NumNotFinite()}


def evaluate_model(model: Model, dataset: Dataset, callbacks: list | None = None) -> Evaluation:
    """Evaluates a model that was made with ``metrics()`` and an ``EvaluationCell``.

    Args:
        model: the model.
        dataset: the dataset of ``eval_pipeline``.
        callbacks: callbacks of ``Model.eval``.
    """
    return Evaluation(**model.eval(dataset, callbacks=callbacks, dataset_sink_mode=False))
