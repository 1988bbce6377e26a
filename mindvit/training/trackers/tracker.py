"""What an experiment tracker does, and what it is told of a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

TrackerName = Literal["none", "tensorboard", "mlflow", "wandb", "swanlab"]
RunStatus = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run at its start."""

    name: str
    """Name of the run, for display."""
    project: str
    """Project that the run belongs to; in MLflow, the experiment."""
    folder: Path
    """Run folder. A tracker may write to a folder of its name in it."""
    settings: dict[str, Any]
    """All settings of the run, by dotted name."""
    is_offline: bool = False
    """Whether nothing may be sent over the network."""
    resumed_step: int = 0
    """Step that the run resumes after; 0 if it starts."""
    former_id: str | None = None
    """What ``Tracker.id`` was in the session before, to continue the same run."""


class Tracker(Protocol):
    """A run in an experiment tracker. Making one starts the run, or continues that of ``former_id``.

    Each method may raise any exception: see ``TrackerSet``.
    """

    id: str | None
    """What the tracker knows the run by; None if a run cannot be continued."""

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Records finite metrics by name, such as ``epoch/top1``, at a step of the run."""

    def flush(self) -> None:
        """Makes sure that what was logged is written; called at the end of an epoch."""

    def finish(self, status: RunStatus) -> None:
        """Ends the session."""
