"""Stops a run that no longer improves."""

from mindspore.train import Callback, RunContext

from mindvit.training.best_checkpoints import BestMetric, candidates
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.run_state import RunState


class EarlyStopping(Callback):
    """Stops the run after ``patience`` consecutive epochs without better weights of any kind.

    The rule is that of ``best.ckpt``: ``Candidate.score``.

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
        return self.state.has_waited(self.patience)

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        found = candidates(self.recorder.epoch) if self.recorder.epoch else []
        if not found:
            return
        state = self.state
        scores = [candidate.score(self.metric) for candidate in found if candidate.is_finite]
        if scores and (state.best_score is None or max(scores) > state.best_score):
            state.best_score, state.best_epoch, state.epochs_without_gain = max(scores), state.epoch, 0
        else:
            state.epochs_without_gain += 1
        if self.is_due:
            run_context.request_stop()
