"""Top-1 and Top-5 after each epoch."""

import time

from mindspore.dataset import Dataset
from mindspore.train import Callback, Model, RunContext

from mindvit.evaluation.metrics import evaluate
from mindvit.training.callbacks.stop import StopOnSignal


class Evaluate(Callback):
    """Evaluates the model after each epoch and adds the figures to the record.

    An epoch that was broken off is not evaluated, and an evaluation that was broken off adds nothing.

    Args:
        model: the model in training.
        dataset: what ``eval_pipeline`` makes.
        stop: the run's watch for signals.
    """

    def __init__(self, model: Model, dataset: Dataset, stop: StopOnSignal) -> None:
        super().__init__()
        self.model = model
        self.dataset = dataset
        self.stop = stop

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        if self.stop.received:
            return
        started = time.perf_counter()
        result = evaluate(self.model, self.dataset, callbacks=[self.stop])
        if self.stop.received:
            return
        run_context.original_args().record.update(
            top1=result.top1,
            top5=result.top5,
            val_loss=result.loss,
            num_images=result.num_images,
            eval_seconds=round(time.perf_counter() - started, 3),
        )
