"""Writes the metrics of a run for TensorBoard."""

from contextlib import suppress
from pathlib import Path

from mindspore.train import Callback, RunContext

from mindvit.errors import UserError
from mindvit.files import reraise_os_errors
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.run_state import RunState

_NOT_METRICS = ("event", "epoch", "step")


def check_tensorboard() -> None:
    """Checks that event files can be written.

    Raises:
        UserError: if the package tensorboardX is not installed.
    """
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise UserError(
            "train.tensorboard needs the package tensorboardX: pip install -r requirements/tensorboard.txt"
        ) from error


class TensorBoard(Callback):
    """Writes event files: loss, learning rate and gradient norm of steps, and all metrics of each epoch.

    Args:
        folder: the folder for the event files. A run that resumes makes TensorBoard discard the entries that were
            written after its training checkpoint.
        recorder: holds the metrics of the step and of the epoch.
        state: progress of the run.
        log_steps: steps between two entries within an epoch.

    Raises:
        UserError: if the folder cannot be written to.
    """

    def __init__(self, folder: Path, recorder: MetricsRecorder, state: RunState, log_steps: int) -> None:
        super().__init__()
        from tensorboardX import SummaryWriter

        self.folder = folder
        with reraise_os_errors("write", folder):
            # A thread writes the entries. It ends when the disk is full, and a queue with a limit would then block the
            # run; the error is reported when the epoch is flushed.
            purge_step = state.step + 1 if state.step else None
            self.writer = SummaryWriter(str(folder), purge_step=purge_step, max_queue=0)
        self.recorder = recorder
        self.state = state
        self.log_steps = log_steps

    def on_train_step_end(self, run_context: RunContext) -> None:
        if self.state.step % self.log_steps == 0:
            self.recorder.read()
            metrics = {"loss": self.recorder.loss, "lr": self.state.lr, "grad_norm": self.recorder.norm}
            self._add("step", metrics)

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        if self.recorder.epoch is not None:
            self._add("epoch", {k: v for k, v in self.recorder.epoch.to_json().items() if k not in _NOT_METRICS})
            with reraise_os_errors("write", self.folder):
                self.writer.flush()

    def _add(self, group: str, metrics: dict[str, float | None]) -> None:
        for name, value in metrics.items():
            if value is not None:
                self.writer.add_scalar(f"{group}/{name}", value, self.state.step)

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # What matters was flushed at the end of the epoch.
            self.writer.close()
