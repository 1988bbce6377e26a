"""Which checkpoints of a run are kept, and which one is the best."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mindvit.config import setting
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
        for name in ("keep_last", "keep_best", "every_steps"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"checkpoint.{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class Candidate:
    """One kind of weights at the end of an epoch, with its validation metrics."""

    weights: WeightsKind
    epoch: int
    step: int
    train_loss: float
    num_images: int
    top1: float
    top5: float
    val_loss: float

    def score(self, metric: BestMetric) -> tuple[float, float]:
        """What candidates are ranked by; greater is better, and a loss of NaN is worst."""
        loss = float("inf") if self.val_loss != self.val_loss else self.val_loss
        return (self.top1, -loss) if metric == "top1" else (-loss, self.top1)


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
            ValueError, TypeError, KeyError: if it is something else.
        """
        return cls(**{**stored, "weights": WeightsKind(stored["weights"])})


def candidates(epoch: EpochMetrics) -> list[Candidate]:
    """The kinds of weights that were evaluated at the end of an epoch."""
    return [
        Candidate(kind, epoch.epoch, epoch.step, epoch.train_loss, epoch.num_images, **vars(found))
        for kind, found in epoch.evaluations.items()
    ]
