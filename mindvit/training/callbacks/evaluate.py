"""Evaluates the weights after each epoch."""

import time
import warnings

from mindspore.dataset import Dataset
from mindspore.train import Callback, Model, RunContext

from mindvit.evaluation.metrics import evaluate_model
from mindvit.run_metrics import EvalMetrics, WeightsKind
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.callbacks.stop_on_signal import StopOnSignal
from mindvit.training.swa import StochasticWeightAverage


class Evaluate(Callback):
    """Evaluates the weights and their averages on the validation split after each epoch.

    An interrupted evaluation leaves the epoch without metrics; a run that resumes repeats it.

    Args:
        recorder: holds the metrics of the epoch.
        models: what to evaluate, by kind of weights.
        dataset: the pipeline of ``eval_pipeline``.
        stop: reacts to signals.
        swa: the SWA average, which is evaluated once it holds weights; None if there is none.
    """

    def __init__(
        self,
        recorder: MetricsRecorder,
        models: dict[WeightsKind, Model],
        dataset: Dataset,
        stop: StopOnSignal,
        swa: StochasticWeightAverage | None = None,
    ) -> None:
        super().__init__()
        self.recorder = recorder
        self.models = models
        self.dataset = dataset
        self.stop = stop
        self.swa = swa

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        epoch = self.recorder.epoch
        if epoch is None:
            return
        started = time.perf_counter()
        for kind, model in self.models.items():
            if kind is WeightsKind.SWA and not self.swa.has_begun:
                continue
            result = None if self.stop.agree() else evaluate_model(model, self.dataset, callbacks=[self.stop])
            if self.stop.agree():
                self.recorder.epoch = None
                return
            if result.num_not_finite:
                warnings.warn(
                    f"epoch {epoch.epoch}: the outputs of the {kind.value} weights are not finite for "
                    f"{result.num_not_finite:,} of {result.num_images:,} validation images; their metrics are null, "
                    "and they are never the best weights",
                    stacklevel=2,
                )
            epoch.evaluations[kind] = EvalMetrics(result.top1, result.top5, result.loss)
            epoch.num_images = result.num_images
        self.recorder.count_skipped_images()
        epoch.eval_seconds = round(time.perf_counter() - started, 3)
