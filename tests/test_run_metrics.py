import json

from mindvit.run_metrics import EpochMetrics, EvalMetrics, WeightsKind, read_epochs

MEASURED = {
    "epoch": 3,
    "step": 30,
    "train_loss": 0.5,
    "lr": 0.1,
    "grad_norm": 1.0,
    "images_per_second": 9.0,
    "mfu": 0.1,
    "train_seconds": 2.0,
}


def test_metrics_and_files_of_averages_have_the_name_of_the_average():
    kinds = (WeightsKind.RAW, WeightsKind.EMA, WeightsKind.SWA)
    assert [kind.prefixed("top1") for kind in kinds] == ["top1", "ema_top1", "swa_top1"]
    assert [kind.suffixed("last") for kind in kinds] == ["last", "last_ema", "last_swa"]


def test_an_epoch_line_omits_metrics_that_were_not_measured():
    assert EpochMetrics(**MEASURED).to_json() == {"event": "epoch", **MEASURED}
    skipping = EpochMetrics(**MEASURED, skipped_steps=0, skipped_images=2).to_json()
    assert (skipping["skipped_steps"], skipping["skipped_images"]) == (0, 2)


def test_an_epoch_line_has_the_metrics_of_each_kind_of_weights():
    metrics = EpochMetrics(**MEASURED, num_images=100)
    metrics.evaluations[WeightsKind.RAW] = EvalMetrics(80.0, 95.0, 0.9)
    metrics.evaluations[WeightsKind.SWA] = EvalMetrics(82.0, 96.0, 0.8)
    own = {"top1": 80.0, "top5": 95.0, "val_loss": 0.9}
    averaged = {"swa_top1": 82.0, "swa_top5": 96.0, "swa_val_loss": 0.8}
    assert metrics.to_json() == {"event": "epoch", **MEASURED, "num_images": 100, **own, **averaged}


def test_the_epoch_lines_of_a_run_are_read_in_order(tmp_path):
    lines = [{"event": "step", "step": 1}, EpochMetrics(**MEASURED).to_json(), {"event": "epoch", "epoch": 4}]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_epochs(path) == lines[1:]
