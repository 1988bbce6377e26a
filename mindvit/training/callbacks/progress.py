"""The progress bar."""

import sys

from mindspore.train import Callback, RunContext
from tqdm import tqdm

from mindvit.training.callbacks.record import EpochRecord

_REFRESH_SECONDS = 0.5
_REFRESH_SECONDS_IN_FILE = 30.0


class ProgressBar(Callback):
    """Shows epoch, step, loss, learning rate, images/s and the time left, and a line with the figures of each epoch.

    Args:
        record: the run's record of the epoch.
        epochs: of the run.
        total_steps: of the run.
    """

    def __init__(self, record: EpochRecord, epochs: int, total_steps: int) -> None:
        super().__init__()
        self.record = record
        self.epochs = epochs
        self.total_steps = total_steps
        self.bar: tqdm | None = None

    def on_train_begin(self, run_context: RunContext) -> None:
        interval = _REFRESH_SECONDS if sys.stderr.isatty() else _REFRESH_SECONDS_IN_FILE
        self.bar = tqdm(total=self.total_steps, unit="step", mininterval=interval, dynamic_ncols=True, smoothing=0.1)

    def on_train_step_end(self, run_context: RunContext) -> None:
        params = run_context.original_args()
        if self.bar.update(1):  # True where the bar was redrawn; the text below then shows at the next drawing.
            self.bar.set_description(f"epoch {params.cur_epoch_num}/{self.epochs}", refresh=False)
            self.bar.set_postfix(
                loss=f"{self.record.last_loss:.4f}",
                lr=f"{self.record.lr:.2e}",
                img_s=f"{self.record.images_per_second:.1f}",
                refresh=False,
            )

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        record = run_context.original_args().record
        line = f"epoch {record['epoch']:>3}/{self.epochs}  loss {record['train_loss']:.4f}  lr {record['lr']:.2e}"
        line += f"  {record['images_per_second']:.1f} images/s"
        if "top1" in record:
            line += f"  val loss {record['val_loss']:.4f}  Top-1 {record['top1']:.2f} %  Top-5 {record['top5']:.2f} %"
        self.bar.write(line, file=sys.stdout)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
