"""Stopping a run that no longer gets better."""

from mindspore.train import Callback, RunContext

from mindvit.training.callbacks.record import EpochRecord
from mindvit.training.ranking import candidates, score
from mindvit.training.run_state import RunState


class EarlyStop(Callback):
    """Stops the run after so many epochs in a row without a better figure.

    Args:
        record: the run's record of the epoch.
        state: where the run stands.
        metric: what better means, as ``checkpoint.metric``.
        patience: epochs to wait.
    """

    def __init__(self, record: EpochRecord, state: RunState, metric: str, patience: int) -> None:
        super().__init__()
        self.record = record
        self.state = state
        self.metric = metric
        self.patience = patience

    @property
    def is_due(self) -> bool:
        """Whether the run has waited long enough."""
        return self.state.epochs_without_gain >= self.patience

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        found = candidates(self.record.epoch) if self.record.epoch else []
        if not found:
            return
        figure = max(score(candidate, self.metric)[0] for candidate in found)
        if self.state.best_score is None or figure > self.state.best_score:
            self.state.best_score, self.state.epochs_without_gain = figure, 0
        else:
            self.state.epochs_without_gain += 1
        if self.is_due:
            run_context.request_stop()
