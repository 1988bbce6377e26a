"""The metrics of a training run: their names in ``metrics.jsonl``, and the kinds of weights that they are of."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from mindvit.errors import UserError
from mindvit.json_schema import decode_value
from mindvit.printable import printable
from mindvit.strict_json import parse_json


class CorruptMetricsError(UserError):
    """A ``metrics.jsonl`` with a line that nobody can use."""


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


def shows_top5(num_classes: int) -> bool:
    """Whether Top-5 says anything: with five classes or fewer it is 100 % whatever the network does."""
    return num_classes > 5


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
    """The epoch lines of a ``metrics.jsonl``, in order. Metrics that were not finite are None.

    Raises:
        OSError: if the file cannot be read.
        CorruptMetricsError: if a line is not JSON, or an epoch line has no epoch or a metric that is not a number.
    """
    return read_records(path)


def read_records(path: Path, events: tuple[str, ...] = ("epoch",), unfinished: bool = False) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl`` that have one of some events, in order. Metrics that were not finite are None.

    Args:
        path: the file.
        events: the events.
        unfinished: whether to ignore a last line without an end, which a run that was killed leaves.

    Raises:
        OSError: if the file cannot be read.
        CorruptMetricsError: if a line is not JSON, or a line of the events has no epoch or a metric that is not a
            number.
    """
    records = []
    content = path.read_bytes()
    if unfinished:
        content = content[: content.rfind(b"\n") + 1]
    for number, line in enumerate(content.splitlines(), 1):
        try:
            record = parse_json(line)
            if record["event"] in events:
                decode_value(int, record["epoch"], "epoch")
                decode_value(dict[str, float | None], {**record, "event": None}, "it")
                records.append(record)
        except (ValueError, LookupError, TypeError) as error:
            raise CorruptMetricsError(
                f"line {number} of {path} is corrupt ({printable(str(error), 200)}); remove it"
            ) from error
    return records
