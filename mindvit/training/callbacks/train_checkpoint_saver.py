"""Saves training checkpoints, from which a run can resume."""

import time

from mindspore.train import Callback, RunContext

from mindvit.files import delete, make_folder
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.run import Run
from mindvit.training.train_checkpoint import (
    checkpoint_name,
    list_train_checkpoints,
    train_state_tensors,
    write_train_checkpoint,
)


class TrainCheckpointSaver(Callback):
    """Writes a training checkpoint after each epoch and every ``checkpoint.every_steps``, and keeps the newest ones.

    Rank 0 writes; the other ranks take part because sharded optimizer states are gathered.

    Args:
        run: the run.
        recorder: holds the metrics of the epoch.
    """

    def __init__(self, run: Run, recorder: MetricsRecorder) -> None:
        super().__init__()
        self.run = run
        self.recorder = recorder
        self._since = time.monotonic()

    def on_train_step_end(self, run_context: RunContext) -> None:
        every, state = self.run.recipe.checkpoint.every_steps, self.run.state
        if every is not None and state.step % every == 0 and not state.at_epoch_end:
            self.save()

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        if self.recorder.epoch is not None:
            self.run.state.recorded_epochs = self.run.state.epoch
            self.save()

    def save(self) -> None:
        """Writes a training checkpoint now, and deletes the oldest ones; all ranks call it together."""
        run = self.run
        self.recorder.read()
        tensors = train_state_tensors(run.components.step, run.components.averages)
        if not run.runtime.is_main:
            return
        now = time.monotonic()
        run.state.seconds += now - self._since
        self._since = now
        folder = make_folder(run.folder.train_checkpoints, parents=False)
        path = folder / checkpoint_name(run.state, self.recorder.epoch)
        write_train_checkpoint(path, tensors, run.state, run.settings, run.source.fingerprint)
        for old in list_train_checkpoints(folder)[: -run.recipe.checkpoint.keep_last]:
            if old != path:
                delete(old)
