"""Stops a run that no longer improves."""

from mindspore.train import Callback, RunContext

from mindvit.training.best_checkpoints import BestMetric, candidates
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.run_state import RunState


class EarlyStopping(Callback):
    """Stops the run after ``patience`` consecutive epochs without a better score.

    Args:
        recorder: holds the metrics of the epoch.
        state: progress of the run.
        metric: what counts as better, as ``checkpoint.metric``.
        patience: epochs to wait.
    """

    def __init__(self, recorder: MetricsRecorder, state: RunState, metric: BestMetric, patience: int) -> None:
        super().__init__()
        self.recorder = recorder
        self.state = state
        self.metric = metric
        self.patience = patience

    @property
    def is_due(self) -> bool:
        """Whether the run has waited long enough."""
        return self.state.epochs_without_gain >= self.patience

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        found = candidates(self.recorder.epoch) if self.recorder.epoch else []
        if not found:
            return
        score = max(candidate.score(self.metric)[0] for candidate in found)
        if self.state.best_score is None or score > self.state.best_score:
            self.state.best_score, self.state.epochs_without_gain = score, 0
        else:
            self.state.epochs_without_gain += 1
        if self.is_due:
            run_context.request_stop()
