"""The progress of a training run."""

from dataclasses import asdict, dataclass, field
from typing import Any

from mindvit.json_schema import decode
from mindvit.training.best_checkpoints import BestCheckpoint


@dataclass
class RunState:
    """The state of a run beside its tensors. A training checkpoint holds all of it.

    Steps count the batches taken, which is the position in the data. Where an overflow skips an update, the step count
    of the optimizer stays behind.
    """

    steps_per_epoch: int
    total_steps: int
    step: int = 0
    """Steps taken."""
    losses: list[float] = field(default_factory=list)
    """Losses of the steps of this epoch so far."""
    norms: list[float] = field(default_factory=list)
    """Gradient norms of the steps of this epoch so far."""
    lr: float = 0.0
    """Learning rate of the last step."""
    skipped_steps: int = 0
    """Steps of this epoch whose update was skipped because of an overflow."""
    skipped_in_a_row: int = 0
    """Consecutive skipped steps up to now."""
    recorded_epochs: int = 0
    """Epochs that were evaluated and recorded."""
    best: list[BestCheckpoint] = field(default_factory=list)
    """The best weights kept, best first."""
    best_score: tuple[float, float] | None = None
    """Best ``Candidate.score`` so far; greater is better. None without early stopping."""
    best_epoch: int = 0
    """Epoch of the best score."""
    epochs_without_gain: int = 0
    """Consecutive epochs without a better score."""
    seconds: float = 0.0
    """Training time of all sessions, in seconds."""
    metrics_bytes: int = 0
    """Length of metrics.jsonl, in bytes."""

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1."""
        return max(-(-self.step // self.steps_per_epoch), 1)

    @property
    def at_epoch_end(self) -> bool:
        """Whether the last step ended an epoch, or the run."""
        return self.step > 0 and (self.step % self.steps_per_epoch == 0 or self.step >= self.total_steps)

    @property
    def is_unrecorded(self) -> bool:
        """Whether an epoch was trained to its end but not evaluated and recorded yet."""
        return self.at_epoch_end and self.recorded_epochs < self.epoch

    def has_waited(self, patience: int | None) -> bool:
        """Whether ``patience`` epochs have passed without a better score; False if it is None."""
        return patience is not None and self.epochs_without_gain >= patience

    def begin_epoch(self) -> None:
        """Clears the values of the previous epoch."""
        if self.step % self.steps_per_epoch == 0:
            self.losses, self.norms, self.skipped_steps = [], [], 0

    def to_json(self) -> dict[str, Any]:
        """The state as JSON values."""
        return {**asdict(self), "best": [entry.to_json() for entry in self.best]}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "RunState":
        """Reads what ``to_json`` gave.

        Raises:
            ValueError, KeyError, TypeError: if it is something else.
        """
        # Earlier versions kept weights whose loss was NaN among the best.
        best = [entry for entry in stored["best"] if entry["val_loss"] is not None]
        state = decode(cls, {**stored, "best": best})
        if state.steps_per_epoch < 1 or min(state.step, state.total_steps, state.metrics_bytes) < 0:
            raise ValueError("it has a negative number of steps or bytes, or an epoch without steps")
        return state
