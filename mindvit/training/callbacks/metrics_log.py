"""Writes the metrics of a run as JSON lines."""

from pathlib import Path

from mindspore.train import Callback, RunContext

from mindvit.files import reraise_os_errors
from mindvit.strict_json import dump_json
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.run_state import RunState


class MetricsLog(Callback):
    """Writes ``metrics.jsonl``: one line every ``log_steps`` steps (event "step") and one per epoch (event "epoch").

    Metrics that are not finite are null.

    Args:
        path: the file. A run that resumes removes the lines that were written after its training checkpoint.
        recorder: holds the metrics of the step and of the epoch.
        state: progress of the run.
        log_steps: steps between two lines within an epoch.
    """

    def __init__(self, path: Path, recorder: MetricsRecorder, state: RunState, log_steps: int) -> None:
        super().__init__()
        self.path = path
        self.recorder = recorder
        self.state = state
        self.log_steps = log_steps
        with reraise_os_errors("write", path), open(path, "ab") as file:
            file.truncate(min(state.metrics_bytes, file.tell()))

    def on_train_step_end(self, run_context: RunContext) -> None:
        if self.state.step % self.log_steps == 0:
            self.recorder.read()
            speed = self.recorder.images_per_second
            self._append(
                {
                    "event": "step",
                    "epoch": self.state.epoch,
                    "step": self.state.step,
                    "train_loss": self.recorder.loss,
                    "lr": self.state.lr,
                    "grad_norm": self.recorder.norm,
                    "images_per_second": round(speed, 2),
                    "mfu": round(self.recorder.mfu(speed), 4),
                }
            )

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        if self.recorder.epoch is not None:
            self._append(self.recorder.epoch.to_json())

    def _append(self, line: dict) -> None:
        with reraise_os_errors("write", self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(dump_json(line) + "\n")
            self.state.metrics_bytes = file.tell()
