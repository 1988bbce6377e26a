"""Stochastic weight averaging at the end of epochs."""

from mindspore.train import Callback, RunContext

from mindvit.training.averaging import StochasticAverage
from mindvit.training.run_state import RunState


class AverageWeights(Callback):
    """Takes the weights at the end of each epoch from ``start_epoch`` on into their average.

    Args:
        average: the average.
        state: where the run stands.
        start_epoch: the first epoch that counts.
    """

    def __init__(self, average: StochasticAverage, state: RunState, start_epoch: int) -> None:
        super().__init__()
        self.average = average
        self.state = state
        self.start_epoch = start_epoch

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        # Where an evaluation was broken off, the epoch's end is gone through again: it must not count twice.
        due = self.state.epoch - self.start_epoch + 1
        if self.state.at_epoch_end and self.average.taken < due:
            self.average()
