"""Table and chart of a benchmark."""

from dataclasses import replace

from PIL import Image

from mindvit.benchmark.speed_chart import draw_chart, scale_values
from mindvit.benchmark.speed_report import Case, Speed, SpeedReport
from mindvit.benchmark.turns import Spread
from mindvit.visualize.figures import make_figure

OWN = Speed("mindvit", Spread(4.0, 3.5, 4.5), 2000.0, 0.8, Spread(1, 1, 1), 2.0, 20.5, 4900.0, 2800.0)
TORCH = {"versions": {"torch": "2.13.0"}}
OTHER = Speed("torch_eager", Spread(5.0, 4.5, 5.5), 1600.0, 0.9, Spread(0.8, 0.7, 0.9), 1.0, 0.0, 2600.0, None, TORCH)
OPERATORS = {
    "types": {"MatMul": {"milliseconds": 90.0, "launches": 50.0}, "Add": {"milliseconds": 10.0, "launches": 2}}
}
CASE = Case("vit_b_16_224", (224, 224), 8, "O0", 10, 35.1, Spread(200, 190, 214), None, [OWN, OTHER], OPERATORS)


ENVIRONMENT = {"processor": "EPYC", "cores": 2, "mindspore": "2.10.0", "mindvit": "0.3.0"}


def report(*cases, task="forward"):
    return SpeedReport(task, ENVIRONMENT, 2, 7, list(cases))


def test_the_table_has_speed_memory_ratio_and_operators():
    lines = report(CASE).table().splitlines()
    assert lines[0].startswith("EPYC, 2 of 2 cores")
    assert lines[1] == "mindvit 0.3.0, mindspore 2.10.0, torch 2.13.0"
    assert "35.10 GFLOP per image; matrix products 200 GFLOP/s (190 to 214)" in lines[3]
    assert " ".join(lines[5].split()) == "mindvit 4.00 (3.50 to 4.50) 2,000.0 80% 4,900 MB 2,800 MB 20.5 s"
    assert " ".join(lines[6].split()) == "torch_eager 5.00 (4.50 to 5.50) 1,600.0 90% 0.80 2,600 MB 0.0 s"
    assert lines[9].split() == ["MatMul", "90.0%", "90.0", "50"]


def test_what_a_pipeline_has_not_is_left_out():
    speed = replace(OWN, mfu=None, compile_seconds=None)
    case = replace(CASE, gflop_per_image=None, peak_gflops=None, num_workers=2, speeds=[speed], operators=None)
    text = report(case, task="data").table()
    assert "2 data workers" in text
    assert "GFLOP" not in text
    assert "%" not in text


def test_a_chart_is_drawn_of_one_case_and_of_several(tmp_path):
    several = [replace(CASE, batch_size=size) for size in (1, 8, 16)]
    for name, cases in (("one.png", [CASE]), ("several.png", several)):
        draw_chart(report(*cases), tmp_path / name)
        with Image.open(tmp_path / name) as image:
            assert image.width > image.height > 400
            assert len(image.convert("RGB").getcolors(10**6)) > 50


def test_values_that_differ_much_have_a_logarithmic_axis():
    axes = make_figure(4, 4).subplots()
    for values, expected in (([1, 500], "log"), ([1, 10], "linear"), ([0, 500], "linear")):
        axes.clear()
        axes.plot(range(2), values)
        scale_values(axes, values)
        assert axes.get_yscale() == expected
