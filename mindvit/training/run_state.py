"""Where a run stands."""

from dataclasses import dataclass, field


@dataclass
class RunState:
    """What a run knows of itself beside its tensors; all of it is kept for going on.

    Steps count the batches that were taken, which is the position in the data. Where an overflow skips an update the
    optimizer's own count stays behind.
    """

    steps_per_epoch: int
    total_steps: int
    step: int = 0
    """Steps made."""
    losses: list[float] = field(default_factory=list)
    """Of this epoch's steps so far."""
    norms: list[float] = field(default_factory=list)
    """Norms of the gradients of this epoch's steps so far."""
    lr: float = 0.0
    """Learning rate of the last step."""
    skipped_steps: int = 0
    """Steps of this epoch whose update was skipped for an overflow."""
    skipped_in_a_row: int = 0
    """Such steps up to now without one between that was not skipped."""
    recorded_epochs: int = 0
    """Epochs that were evaluated and recorded."""
    best: list[dict] = field(default_factory=list)
    """The best weights kept, best first: their file, which weights they are, epoch and figures."""
    best_score: float | None = None
    """The best figure so far of the metric that the run is judged by; greater is better."""
    epochs_without_gain: int = 0
    seconds: float = 0.0
    """Time spent training, in all sittings."""
    metrics_bytes: int = 0
    """Length of metrics.jsonl."""

    @property
    def epoch(self) -> int:
        """Number, from 1, of the epoch that the last step belongs to."""
        return max(-(-self.step // self.steps_per_epoch), 1)

    @property
    def at_epoch_end(self) -> bool:
        """Whether an epoch, or the whole run, has just been trained to its end."""
        return self.step > 0 and (self.step % self.steps_per_epoch == 0 or self.step >= self.total_steps)

    @property
    def is_unrecorded(self) -> bool:
        """Whether an epoch was trained to its end whose evaluation is still to be done."""
        return self.at_epoch_end and self.recorded_epochs < self.epoch

    def begin_epoch(self) -> None:
        """Forgets the figures of the epoch before."""
        if self.step % self.steps_per_epoch == 0:
            self.losses, self.norms, self.skipped_steps = [], [], 0
