"""Updates stochastic weight averaging (SWA) at the end of epochs."""

from mindspore.train import Callback, RunContext

from mindvit.training.run_state import RunState
from mindvit.training.swa import StochasticWeightAverage


class UpdateSWA(Callback):
    """Adds the weights at the end of each epoch, from ``start_epoch`` on, to their average.

    Args:
        average: the average.
        state: progress of the run.
        start_epoch: first epoch whose weights count.
    """

    def __init__(self, average: StochasticWeightAverage, state: RunState, start_epoch: int) -> None:
        super().__init__()
        self.average = average
        self.state = state
        self.start_epoch = start_epoch

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        # After an interrupted evaluation the epoch's end is repeated: its weights must not count twice.
        due = self.state.epoch - self.start_epoch + 1
        if self.state.at_epoch_end and self.average.num_averaged < due:
            self.average()
