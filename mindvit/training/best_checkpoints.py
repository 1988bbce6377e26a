"""Which checkpoints of a run are kept, and which one is the best."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mindvit.config import setting
from mindvit.json_schema import decode
from mindvit.models.setting_checks import check_values
from mindvit.run_metrics import EpochMetrics, WeightsKind

BestMetric = Literal["top1", "val_loss"]


@dataclass(frozen=True)
class CheckpointSettings:
    """Which checkpoints are kept, and which metric ranks them."""

    keep_last: int = setting(2, changeable=True)
    """Newest training checkpoints to keep."""
    keep_best: int = setting(1, changeable=True)
    """Best weights to keep."""
    every_steps: int | None = setting(None, changeable=True)
    """Steps between two training checkpoints. null writes one after each epoch only."""
    metric: BestMetric = "top1"
    """What ranks the weights: the highest top1 (ties go to the lower loss), or the lowest val_loss."""

    def __post_init__(self) -> None:
        check_values(self, "checkpoint.")
        for name in ("keep_last", "keep_best", "every_steps"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"checkpoint.{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class Candidate:
    """One kind of weights at the end of an epoch, with its validation metrics."""

    weights: WeightsKind
    epoch: int
    step: int
    train_loss: float | None
    """Mean training loss of the epoch; None if no step of the epoch had a finite one."""
    num_images: int
    top1: float
    top5: float
    val_loss: float

    @property
    def is_finite(self) -> bool:
        """Whether all validation metrics are numbers. Weights whose metrics are not are never the best."""
        return all(map(math.isfinite, (self.top1, self.top5, self.val_loss)))

    def score(self, metric: BestMetric) -> tuple[float, float]:
        """What candidates are ranked by; greater is better, and metrics that are not finite are worst."""
        if not self.is_finite:
            return -math.inf, -math.inf
        return (self.top1, -self.val_loss) if metric == "top1" else (-self.val_loss, self.top1)


@dataclass(frozen=True)
class BestCheckpoint(Candidate):
    """A candidate that was kept."""

    file: str
    """Path of the checkpoint, relative to the run folder."""

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON values."""
        return {**asdict(self), "weights": self.weights.value}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "BestCheckpoint":
        """Reads what ``to_json`` gave.

        Raises:
            ValueError: if it is something else.
        """
        return decode(cls, stored)


def candidates(epoch: EpochMetrics) -> list[Candidate]:
    """The kinds of weights that were evaluated at the end of an epoch."""
    train_loss = epoch.train_loss if math.isfinite(epoch.train_loss) else None
    return [
        Candidate(kind, epoch.epoch, epoch.step, train_loss, epoch.num_images, **vars(found))
        for kind, found in epoch.evaluations.items()
    ]
