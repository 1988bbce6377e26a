"""The progress bar."""

import os
import sys

from mindspore.train import Callback, RunContext
from tqdm import tqdm

from mindvit.training.callbacks.record import EpochRecord
from mindvit.training.ranking import AVERAGES, key_of
from mindvit.training.run_state import RunState

_REFRESH_SECONDS = 0.5
_REFRESH_SECONDS_IN_FILE = 30.0


class ProgressBar(Callback):
    """Shows where the run is, its speed and the time left, and a line with the figures of each epoch.

    Args:
        record: the run's record of the epoch.
        state: where the run stands.
        epochs: of the run.
    """

    def __init__(self, record: EpochRecord, state: RunState, epochs: int) -> None:
        super().__init__()
        self.record = record
        self.state = state
        self.epochs = epochs
        self.bar: tqdm | None = None

    def on_train_begin(self, run_context: RunContext) -> None:
        is_seen = sys.stderr.isatty() or "MINDVIT_ON_SCREEN" in os.environ  # The launcher shows worker 0's log there.
        interval = _REFRESH_SECONDS if is_seen else _REFRESH_SECONDS_IN_FILE
        self.bar = tqdm(
            total=self.state.total_steps,
            initial=self.state.step,
            unit="step",
            mininterval=interval,
            dynamic_ncols=True,
            smoothing=0.1,
        )

    def on_train_step_end(self, run_context: RunContext) -> None:
        if self.bar.update(1):  # True where the bar was redrawn; the text below then shows at the next drawing.
            speed = self.record.images_per_second
            self.bar.set_description(f"epoch {self.state.epoch}/{self.epochs}", refresh=False)
            self.bar.set_postfix(
                loss=f"{self.record.loss:.4f}",
                lr=f"{self.state.lr:.2e}",
                norm=f"{self.record.norm:.2f}",
                img_s=f"{speed:.1f}",
                mfu=f"{100 * self.record.utilisation(speed):.0f}%",
                refresh=False,
            )

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        record = self.record.epoch
        if record is None:
            return
        line = f"epoch {record['epoch']:>3}/{self.epochs}  loss {record['train_loss']:.4f}  lr {record['lr']:.2e}"
        line += f"  norm {record['grad_norm']:.2f}  {record['images_per_second']:.1f} images/s"
        line += f"  MFU {100 * record['mfu']:.0f} %"
        for weights in AVERAGES:
            if key_of(weights, "top1") in record:
                top1, top5, loss = (record[key_of(weights, figure)] for figure in ("top1", "top5", "val_loss"))
                line += f"  {weights or 'val'} loss {loss:.4f}  Top-1 {top1:.2f} %  Top-5 {top5:.2f} %"
        for name in ("skipped_steps", "skipped_images"):
            if record.get(name):
                line += f"  {record[name]} {name.replace('_', ' ')}"
        if self.bar is None:
            print(line, flush=True)
        else:
            self.bar.write(line, file=sys.stdout)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
