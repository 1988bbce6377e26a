"""The command benchmark, from its settings to its files."""

import json

import pytest

from mindvit.benchmark.benchmark_settings import PipelineSettings, StepSettings
from mindvit.benchmark.speed_command import benchmark_data, benchmark_train
from mindvit.data.settings import DataSettings
from mindvit.factory import ModelSettings

SIZES = {"name": "vit_mini_4_32", "depth": 1, "embed_dim": 32, "num_heads": 2, "mlp_dim": 64, "image_size": 16}
QUICK = {"rounds": 3, "round_seconds": 0.0, "threads": 1}


@pytest.mark.slow
def test_a_training_step_is_measured_beside_the_stock_step(tmp_path, capsys):
    output = tmp_path / "results/speed.json"
    settings = StepSettings(
        **QUICK, model=ModelSettings(**SIZES), batch_sizes=(4,), compare=("stock",), output=str(output), num_classes=10
    )
    report = benchmark_train(settings)
    (case,) = report.cases
    own, stock = case.speeds
    assert (own.contestant, stock.contestant) == ("mindvit", "stock")
    for speed in case.speeds:
        assert 0 < speed.images_per_second.least <= speed.images_per_second.median
        assert speed.milliseconds == pytest.approx(4000 / speed.images_per_second.median)
        assert 0 < speed.mfu < 1
        assert 100 < speed.peak_process_mb < 10_000
        assert speed.peak_pool_mb is not None
        assert speed.compile_seconds > 0
        assert len(speed.seconds) == 3
    assert stock.ratio.least <= stock.ratio.median <= stock.ratio.greatest
    assert sum(row["launches"] for row in case.operators["types"].values()) > 20
    assert case.operators["types"]["MatMul"]["milliseconds"] > 0
    written = json.loads(output.read_text(encoding="utf-8"))
    assert written["task"] == "train"
    assert written["cases"][0]["speeds"][1]["contestant"] == "stock"
    assert "stock" in capsys.readouterr().out


@pytest.mark.slow
def test_a_pipeline_is_measured_for_each_number_of_workers(make_folder):
    folder = make_folder(counts=8, size=24)
    settings = PipelineSettings(
        **QUICK,
        model=ModelSettings(**SIZES),
        data=DataSettings(path=str(folder), batch_size=4),
        workers=(1, 2),
        pass_images=24,
        compare=("stock",),
    )
    report = benchmark_data(settings)
    assert [case.num_workers for case in report.cases] == [1, 2]
    for case in report.cases:
        assert case.gflop_per_image is None
        assert [speed.contestant for speed in case.speeds] == ["mindvit", "stock"]
        assert all(speed.images_per_second.least > 0 and speed.mfu is None for speed in case.speeds)
