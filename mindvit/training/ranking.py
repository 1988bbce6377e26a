"""Which weights are the better ones."""

from dataclasses import dataclass
from typing import Literal

AVERAGES = ("", "ema", "swa")
"""The kinds of weights: the network's own, and its averages."""

_FIGURES = ("top1", "top5", "val_loss")


@dataclass(frozen=True)
class CheckpointSettings:
    """What is kept of a run, and by which measure."""

    keep_last: int = 2
    """States to go on from that are kept, the newest ones."""
    keep_best: int = 1
    """Weights that are kept, the best ones."""
    every_steps: int | None = None
    """Steps between two states; null keeps one after each epoch only."""
    metric: Literal["top1", "val_loss"] = "top1"
    """What best means: the greatest top1 (of equal ones the least loss), or the least val_loss."""

    def __post_init__(self) -> None:
        for name in ("keep_last", "keep_best", "every_steps"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"checkpoint.{name} must be at least 1, not {getattr(self, name)}")


def key_of(weights: str, figure: str) -> str:
    """The name of a figure in an epoch's record: ``top1`` of the network, ``ema_top1`` of an average."""
    return f"{weights}_{figure}" if weights else figure


def candidates(record: dict) -> list[dict]:
    """The figures of each kind of weights that an epoch's record has."""
    found = []
    for weights in AVERAGES:
        if key_of(weights, "top1") in record:
            figures = {figure: record[key_of(weights, figure)] for figure in _FIGURES}
            common = {key: record[key] for key in ("epoch", "step", "train_loss", "num_images")}
            found.append({"weights": weights, **common, **figures})
    return found


def score(candidate: dict, metric: str) -> tuple[float, float]:
    """What candidates are compared by; greater is better, and NaN is worst."""
    top1, loss = candidate["top1"], candidate["val_loss"]
    loss = float("inf") if loss != loss else loss
    return (top1, -loss) if metric == "top1" else (-loss, top1)
