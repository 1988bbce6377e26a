"""The run's figures as a file of JSON lines."""

import json
from pathlib import Path

from mindspore.train import Callback, RunContext

from mindvit.training.callbacks.record import EpochRecord


class MetricsLog(Callback):
    """Writes ``metrics.jsonl``: a line every ``log_steps`` steps (event "step") and one an epoch (event "epoch").

    Args:
        path: the file; it is begun anew.
        record: the run's record of the epoch.
        log_steps: steps between two lines within an epoch.
    """

    def __init__(self, path: Path, record: EpochRecord, log_steps: int) -> None:
        super().__init__()
        self.path = path
        self.record = record
        self.log_steps = log_steps
        path.write_text("")

    def on_train_step_end(self, run_context: RunContext) -> None:
        params = run_context.original_args()
        if params.cur_step_num % self.log_steps == 0:
            self._append(
                {
                    "event": "step",
                    "epoch": params.cur_epoch_num,
                    "step": params.cur_step_num,
                    "train_loss": self.record.last_loss,
                    "lr": self.record.lr,
                    "images_per_second": round(self.record.images_per_second, 2),
                }
            )

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        self._append(run_context.original_args().record)

    def _append(self, line: dict) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
