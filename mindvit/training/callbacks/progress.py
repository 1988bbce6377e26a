"""Shows the progress bar."""

import os
import sys

from mindspore.train import Callback, RunContext
from tqdm import tqdm

from mindvit.run_metrics import WeightsKind
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.run_state import RunState

_REFRESH_SECONDS = 0.5
_REFRESH_SECONDS_IN_FILE = 30.0


class ProgressBar(Callback):
    """Shows the position in the run, its speed and the time left, and prints one line of metrics per epoch.

    Args:
        recorder: holds the metrics of the step and of the epoch.
        state: progress of the run.
        epochs: epochs of the run.
    """

    def __init__(self, recorder: MetricsRecorder, state: RunState, epochs: int) -> None:
        super().__init__()
        self.recorder = recorder
        self.state = state
        self.epochs = epochs
        self.bar: tqdm | None = None

    def on_train_begin(self, run_context: RunContext) -> None:
        is_seen = sys.stderr.isatty() or "MINDVIT_ON_SCREEN" in os.environ  # The launcher shows rank 0's log there.
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
        if self.bar.update(1):  # True if the bar was redrawn; the text below shows at the next drawing.
            self.bar.set_description(f"epoch {self.state.epoch}/{self.epochs}", refresh=False)
            self.bar.set_postfix(self.values(), refresh=False)

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        epoch = self.recorder.epoch
        if epoch is None:
            return
        line = f"epoch {epoch.epoch:>3}/{self.epochs}  loss {epoch.train_loss:.4f}  lr {epoch.lr:.2e}"
        line += f"  norm {epoch.grad_norm:.2f}  {epoch.images_per_second:.1f} images/s  MFU {100 * epoch.mfu:.0f} %"
        for kind, found in epoch.evaluations.items():
            name = "val" if kind is WeightsKind.RAW else kind.value
            line += f"  {name} loss {found.val_loss:.4f}  Top-1 {found.top1:.2f} %  Top-5 {found.top5:.2f} %"
        for name in ("skipped_steps", "skipped_images"):
            if getattr(epoch, name):
                line += f"  {getattr(epoch, name)} {name.replace('_', ' ')}"
        if self.bar is None:
            print(line, flush=True)
        else:
            self.bar.write(line, file=sys.stdout)

    def values(self) -> dict[str, str]:
        """What the bar shows: only what is known, because the outputs of a step are read after the next one starts."""
        recorder, values = self.recorder, {}
        if recorder.loss is not None:
            values = {"loss": f"{recorder.loss:.4f}", "lr": f"{self.state.lr:.2e}", "norm": f"{recorder.norm:.2f}"}
        speed = recorder.images_per_second
        if speed:
            values |= {"img_s": f"{speed:.1f}", "mfu": f"{100 * recorder.mfu(speed):.0f}%"}
        return values

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
