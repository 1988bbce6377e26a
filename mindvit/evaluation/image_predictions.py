"""What a network predicts for each evaluated image, collected from all ranks."""

from dataclasses import dataclass

import numpy as np
from mindspore.train import Metric

from mindvit.data.split import PADDING_LABEL
from mindvit.distributed import all_gather_rows

_TOP = 5
"""Classes kept for each image."""


@dataclass(frozen=True)
class ImagePredictions:
    """What a network predicts for each evaluated image, in the order of the split.

    It keeps a few numbers for each image and not all logits, which for ImageNet's 50,000 validation images are 400 MB.
    """

    indices: np.ndarray
    """int64 (n,): index of the image in the split. Corrupt images that were skipped have no row."""
    labels: np.ndarray
    """int64 (n,): true label."""
    top: np.ndarray
    """int64 (n, k): labels of the k most probable classes, the best first; k is 5, or the number of classes if less."""
    confidence: np.ndarray
    """float64 (n,): probability of the predicted class ``top[:, 0]``."""
    loss: np.ndarray
    """float64 (n,): cross-entropy, -log of the probability of the true class."""
    brier: np.ndarray
    """float64 (n,): Brier score, the sum over the classes of (probability - (1 for the true class, else 0))^2."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> np.ndarray:
        """int64 (n,): label of the most probable class."""
        return self.top[:, 0]

    @property
    def is_right(self) -> np.ndarray:
        """bool (n,): whether the most probable class is the true one."""
        return self.predicted == self.labels

    @property
    def true_probability(self) -> np.ndarray:
        """float64 (n,): probability of the true class."""
        return np.exp(-self.loss)


class PredictionCollector(Metric):
    """Collects the predictions for the batches of ``eval_pipeline``, which hold the shard of a rank in order.

    Of equal logits, the one with the smaller class index ranks first, as in ``TopK``.

    Args:
        rank: rank of this process.
        world_size: number of ranks.
    """

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        super().__init__()
        self.rank = rank
        self.world_size = world_size
        self.clear()

    def clear(self) -> None:
        self._rows: list[np.ndarray] = []
        self._position = 0

    def update(self, *inputs) -> None:
        logits, labels = (self._convert_data(item) for item in inputs)
        real = np.flatnonzero(labels != PADDING_LABEL)
        indices = self.rank + self.world_size * (self._position + real)
        self._position += len(labels)
        with np.errstate(invalid="ignore", over="ignore"):
            self._rows.append(_rows(indices, logits[real].astype(np.float64), labels[real]))

    def eval(self) -> ImagePredictions:
        rows = all_gather_rows(np.concatenate(self._rows))
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        indices, labels, confidence, loss, brier = rows.T[:5]
        top = rows[:, 5:].astype(np.int64)
        return ImagePredictions(indices.astype(np.int64), labels.astype(np.int64), top, confidence, loss, brier)


def _rows(indices: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """One row for each image, float64 (n, 5 + k): index, label, confidence, loss, Brier score, top classes."""
    top = _top_classes(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    probabilities = np.exp(logs)
    own = np.take_along_axis(logs, labels[:, None].astype(np.int64), axis=1)[:, 0]
    confidence = np.take_along_axis(probabilities, top[:, :1], axis=1)[:, 0]
    brier = np.square(probabilities).sum(axis=1) - 2 * np.exp(own) + 1
    return np.column_stack([indices, labels, confidence, -own, brier, top]).astype(np.float64)


def _top_classes(logits: np.ndarray) -> np.ndarray:
    """The classes of the greatest logits: a few passes over them take a tenth of the time that sorting takes."""
    rest, rows, found = logits.copy(), np.arange(len(logits)), []
    for _ in range(min(_TOP, logits.shape[1])):
        found.append(rest.argmax(axis=1))  # Of equals the first.
        rest[rows, found[-1]] = -np.inf
    return np.stack(found, axis=1)
