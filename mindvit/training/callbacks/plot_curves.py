"""Plots the training curves during a run."""

import time
import warnings
from pathlib import Path

from mindspore.train import Callback, RunContext

from mindvit.files import reraise_os_errors
from mindvit.run_metrics import CorruptMetricsError
from mindvit.visualize.curves import draw_curves

_SECONDS_BETWEEN = 60.0


class PlotCurves(Callback):
    """Draws ``curves.png`` at the end of the run, and after an epoch if the last drawing is more than a minute old.

    Args:
        metrics: ``metrics.jsonl`` of the run.
        target: the PNG file.
    """

    def __init__(self, metrics: Path, target: Path) -> None:
        super().__init__()
        self.metrics = metrics
        self.target = target
        self._drawn = time.monotonic()

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        if time.monotonic() - self._drawn > _SECONDS_BETWEEN:
            self._draw()

    def on_train_end(self, run_context: RunContext) -> None:
        self._draw()

    def _draw(self) -> None:
        with reraise_os_errors("read", self.metrics):
            try:
                draw_curves(self.metrics, self.target)
            except CorruptMetricsError as error:  # No reason to end a run.
                warnings.warn(f"{self.target} is not drawn: {error}", stacklevel=2)
        self._drawn = time.monotonic()
