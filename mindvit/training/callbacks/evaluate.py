"""Top-1 and Top-5 after each epoch."""

import time

from mindspore.dataset import Dataset
from mindspore.train import Callback, Model, RunContext

from mindvit.evaluation.metrics import evaluate
from mindvit.training.averaging import StochasticAverage
from mindvit.training.callbacks.record import EpochRecord
from mindvit.training.callbacks.stop import StopOnSignal
from mindvit.training.ranking import key_of


class Evaluate(Callback):
    """Evaluates the weights and their averages after each epoch, and adds the figures to the record.

    An evaluation that was broken off leaves the epoch without a record; a run that goes on makes up for it.

    Args:
        record: the run's record of the epoch.
        models: what to evaluate, by the kind of weights.
        dataset: what ``eval_pipeline`` makes.
        stop: the run's watch for signals.
        swa: the stochastic average, which is evaluated once it holds something; None where there is none.
    """

    def __init__(
        self,
        record: EpochRecord,
        models: dict[str, Model],
        dataset: Dataset,
        stop: StopOnSignal,
        swa: StochasticAverage | None = None,
    ) -> None:
        super().__init__()
        self.record = record
        self.models = models
        self.dataset = dataset
        self.stop = stop
        self.swa = swa

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        record = self.record.epoch
        if record is None:
            return
        started = time.perf_counter()
        for weights, model in self.models.items():
            if weights == "swa" and not self.swa.has_begun:
                continue
            result = None if self.stop.agree() else evaluate(model, self.dataset, callbacks=[self.stop])
            if self.stop.agree():
                self.record.epoch = None
                return
            record[key_of(weights, "top1")] = result.top1
            record[key_of(weights, "top5")] = result.top5
            record[key_of(weights, "val_loss")] = result.loss
            record["num_images"] = result.num_images
        self.record.count_skipped_images()
        record["eval_seconds"] = round(time.perf_counter() - started, 3)
