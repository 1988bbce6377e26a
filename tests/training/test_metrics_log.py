import json
from types import SimpleNamespace

import pytest

from mindvit.run_metrics import EpochMetrics, EvalMetrics, WeightsKind, read_epochs
from mindvit.training.callbacks.metrics_log import MetricsLog
from mindvit.training.run_state import RunState

NAN = float("nan")


def test_metrics_that_are_not_finite_are_null(tmp_path):
    """Python writes NaN and Infinity, which are not JSON and which no other program reads."""
    recorder = SimpleNamespace(
        read=lambda: None, images_per_second=9.0, loss=NAN, norm=float("inf"), mfu=lambda speed: 0.1, epoch=None
    )
    log = MetricsLog(tmp_path / "metrics.jsonl", recorder, RunState(5, 10, step=5, lr=0.1), log_steps=5)
    log.on_train_step_end(None)
    evaluations = {WeightsKind.EMA: EvalMetrics(NAN, NAN, NAN)}
    recorder.epoch = EpochMetrics(1, 5, NAN, 0.1, 1.0, 9.0, 0.1, 2.0, num_images=4, evaluations=evaluations)
    log.on_train_epoch_end(None)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    step, epoch = (json.loads(line, parse_constant=pytest.fail) for line in lines)
    assert (step["train_loss"], step["grad_norm"], step["lr"]) == (None, None, 0.1)
    assert (epoch["train_loss"], epoch["ema_top1"], epoch["ema_val_loss"], epoch["num_images"]) == (None, None, None, 4)


def test_lines_of_earlier_versions_with_nan_are_read(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"event": "epoch", "epoch": 1, "val_loss": NaN, "top1": 0.0}\n')
    assert read_epochs(tmp_path / "metrics.jsonl") == [{"event": "epoch", "epoch": 1, "val_loss": None, "top1": 0.0}]
