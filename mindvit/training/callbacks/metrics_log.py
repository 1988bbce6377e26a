"""The run's figures as a file of JSON lines."""

import json
from pathlib import Path

from mindspore.train import Callback, RunContext

from mindvit.training.callbacks.record import EpochRecord
from mindvit.training.run_state import RunState


class MetricsLog(Callback):
    """Writes ``metrics.jsonl``: a line every ``log_steps`` steps (event "step") and one an epoch (event "epoch").

    Args:
        path: the file. A run that goes on cuts off what was written after the state that it goes on from.
        record: the run's record of the epoch.
        state: where the run stands.
        log_steps: steps between two lines within an epoch.
    """

    def __init__(self, path: Path, record: EpochRecord, state: RunState, log_steps: int) -> None:
        super().__init__()
        self.path = path
        self.record = record
        self.state = state
        self.log_steps = log_steps
        with open(path, "ab") as file:
            file.truncate(min(state.metrics_bytes, file.tell()))

    def on_train_step_end(self, run_context: RunContext) -> None:
        if self.state.step % self.log_steps == 0:
            self.record.read()
            speed = self.record.images_per_second
            self._append(
                {
                    "event": "step",
                    "epoch": self.state.epoch,
                    "step": self.state.step,
                    "train_loss": self.record.loss,
                    "lr": self.state.lr,
                    "grad_norm": self.record.norm,
                    "images_per_second": round(speed, 2),
                    "mfu": round(self.record.utilisation(speed), 4),
                }
            )

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        if self.record.epoch is not None:
            self._append(self.record.epoch)

    def _append(self, line: dict) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            self.state.metrics_bytes = file.tell()
