"""The callback that evaluates the weights, with stand-ins for the models."""

from types import SimpleNamespace

import numpy as np
import pytest

from mindvit.run_metrics import EpochMetrics, WeightsKind
from mindvit.training.callbacks.evaluate import Evaluate

MEASURED = {"lr": 0.1, "grad_norm": 1.0, "images_per_second": 9.0, "mfu": 0.1, "train_seconds": 2.0}


def model(value, num_not_finite):
    found = {"top1": value, "top5": value, "loss": value, "num_images": 10, "num_not_finite": num_not_finite}
    return SimpleNamespace(eval=lambda *args, **settings: found)


def test_outputs_that_are_not_finite_are_noted_and_counted():
    epoch = EpochMetrics(epoch=3, step=30, train_loss=0.5, **MEASURED)
    recorder = SimpleNamespace(epoch=epoch, count_skipped_images=lambda: None)
    models = {WeightsKind.RAW: model(50.0, 0), WeightsKind.EMA: model(float("nan"), 4)}
    words = (
        "^epoch 3: the outputs of the ema weights are not finite for 4 of 10 validation images; their metrics are null"
    )
    with pytest.warns(UserWarning, match=words) as notes:
        Evaluate(recorder, models, None, SimpleNamespace(agree=lambda: False)).on_train_epoch_end(None)
    assert len(notes) == 1
    assert epoch.evaluations[WeightsKind.RAW].top1 == 50.0
    assert np.isnan(epoch.evaluations[WeightsKind.EMA].val_loss)
