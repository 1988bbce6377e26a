"""Sends the metrics of a run to experiment trackers."""

from mindspore.train import Callback, RunContext

from mindvit.run_metrics import shows_top5
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.run_state import RunState
from mindvit.training.trackers.tracker_set import TrackerSet

_NOT_METRICS = ("event", "epoch", "step")


class TrackMetrics(Callback):
    """Logs loss, learning rate and gradient norm of steps as ``step/…``, and all metrics of each epoch as ``epoch/…``.

    Top-5 is omitted where it is always 100 %.

    Args:
        trackers: the trackers.
        recorder: holds the metrics of the step and of the epoch.
        state: progress of the run.
        log_steps: steps between two entries within an epoch.
        num_classes: classes of the network.
    """

    def __init__(
        self, trackers: TrackerSet, recorder: MetricsRecorder, state: RunState, log_steps: int, num_classes: int = 1000
    ) -> None:
        super().__init__()
        self.trackers = trackers
        self.recorder = recorder
        self.state = state
        self.log_steps = log_steps
        self.num_classes = num_classes

    def on_train_step_end(self, run_context: RunContext) -> None:
        if self.state.step % self.log_steps == 0:
            self.recorder.read()
            metrics = {"loss": self.recorder.loss, "lr": self.state.lr, "grad_norm": self.recorder.norm}
            self._log("step", metrics)

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        if self.recorder.epoch is not None:
            metrics = {k: v for k, v in self.recorder.epoch.to_json().items() if k not in _NOT_METRICS}
            if not shows_top5(self.num_classes):
                metrics = {name: value for name, value in metrics.items() if not name.endswith("top5")}
            self._log("epoch", metrics)
            self.trackers.flush()

    def _log(self, group: str, metrics: dict[str, float | None]) -> None:
        self.trackers.log({f"{group}/{name}": value for name, value in metrics.items()}, self.state.step)
