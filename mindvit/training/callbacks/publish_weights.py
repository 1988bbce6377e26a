"""Brings the parameters of the networks up to date at the end of an epoch."""

from mindspore.train import Callback, RunContext

from mindvit.training.run import TrainComponents


class PublishWeights(Callback):
    """Copies weights that buffers hold to the parameters of the networks, which the later callbacks read.

    Args:
        components: what computes.
    """

    def __init__(self, components: TrainComponents) -> None:
        super().__init__()
        self.components = components

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        self.components.step.publish()
        for average in self.components.averages:
            average.publish()
