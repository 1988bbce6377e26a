"""The metrics of a training run: their names in ``metrics.jsonl``, and the kinds of weights that they are of."""

import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any


class WeightsKind(str, Enum):
    """Which weights of a run: the trained ones, or an average of them."""

    RAW = "raw"
    EMA = "ema"
    SWA = "swa"

    def prefixed(self, name: str) -> str:
        """The name of a metric of these weights: ``top1`` for the raw ones, ``ema_top1`` for an average."""
        return name if self is WeightsKind.RAW else f"{self.value}_{name}"

    def suffixed(self, name: str) -> str:
        """The name of a file of these weights: ``last`` for the raw ones, ``last_ema`` for an average."""
        return name if self is WeightsKind.RAW else f"{name}_{self.value}"


@dataclass(frozen=True)
class EvalMetrics:
    """Metrics of one kind of weights on the validation split."""

    top1: float
    """Top-1 accuracy, in percent."""
    top5: float
    """Top-5 accuracy, in percent."""
    val_loss: float
    """Mean cross-entropy, without label smoothing."""


@dataclass
class EpochMetrics:
    """Metrics of one epoch: one line of ``metrics.jsonl``."""

    epoch: int
    """Epoch, from 1."""
    step: int
    """Steps taken in the run so far."""
    train_loss: float
    """Mean training loss of the epoch."""
    lr: float
    """Learning rate of the last step."""
    grad_norm: float
    """Mean norm of the gradient, before clipping."""
    images_per_second: float
    """Training images per second of all ranks, without compilation and evaluation."""
    mfu: float
    """Model FLOPs utilization, 0 to 1."""
    train_seconds: float
    """Time of the training steps of this session, compilation included."""
    skipped_steps: int | None = None
    """Steps without an update because of an overflow; None without loss scaling."""
    skipped_images: int | None = None
    """Corrupt images skipped so far, on all ranks; None if corrupt images are an error."""
    num_images: int | None = None
    """Validation images."""
    eval_seconds: float | None = None
    """Time of the evaluations."""
    evaluations: dict[WeightsKind, EvalMetrics] = field(default_factory=dict)
    """Validation metrics by kind of weights."""

    def to_json(self) -> dict[str, Any]:
        """The line of ``metrics.jsonl``: metrics that are None are omitted."""
        own = {key: value for key, value in vars(self).items() if key != "evaluations" and value is not None}
        found = {
            kind.prefixed(name): value
            for kind, metrics in self.evaluations.items()
            for name, value in vars(metrics).items()
        }
        return {"event": "epoch", **own, **found}


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """The epoch lines of a ``metrics.jsonl``, in order."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["event"] == "epoch"]
