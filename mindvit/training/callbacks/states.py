"""Keeping states that a run can go on from."""

import time
from pathlib import Path

from mindspore import nn
from mindspore.train import Callback, RunContext

from mindvit.training.callbacks.record import EpochRecord
from mindvit.training.ranking import CheckpointSettings
from mindvit.training.run_state import RunState
from mindvit.training.states import list_states, state_name, state_tensors, write_state


class KeepStates(Callback):
    """Writes a state into ``states/`` after each epoch and every so many steps, and keeps the newest ones.

    Args:
        folder: the run's folder.
        step: the ``TrainStep``.
        averages: the averages of the weights.
        record: the run's record of the epoch.
        state: where the run stands.
        recipe: all settings of the run.
        settings: how often, and how many to keep.
        writes: whether this worker does; the others only give it their parts of the optimizer's state.
    """

    def __init__(
        self,
        folder: Path,
        step: nn.Cell,
        averages: list[nn.Cell],
        record: EpochRecord,
        state: RunState,
        recipe: dict,
        settings: CheckpointSettings,
        writes: bool = True,
    ) -> None:
        super().__init__()
        self.folder = folder / "states"
        self.step = step
        self.averages = averages
        self.record = record
        self.state = state
        self.recipe = recipe
        self.settings = settings
        self.writes = writes
        self._since = time.monotonic()

    @property
    def newest(self) -> Path | None:
        """The newest state; None where there is none yet."""
        return next(reversed(list_states(self.folder)), None)

    def on_train_step_end(self, run_context: RunContext) -> None:
        every = self.settings.every_steps
        if every is not None and self.state.step % every == 0 and not self.state.at_epoch_end:
            self.save()

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        if self.record.epoch is not None:
            self.state.recorded_epochs = self.state.epoch
            self.save()

    def save(self) -> None:
        """Writes a state now, and removes the ones that are too many; all workers call it together."""
        self.record.read()
        tensors = state_tensors(self.step, self.averages)
        if not self.writes:
            return
        now = time.monotonic()
        self.state.seconds += now - self._since
        self._since = now
        path = self.folder / state_name(self.state, self.record.epoch)
        write_state(path, tensors, self.state, self.recipe)
        for old in list_states(self.folder)[: -self.settings.keep_last]:
            if old != path:
                old.unlink()
