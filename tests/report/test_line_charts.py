import json
import re
from dataclasses import replace
from xml.etree import ElementTree

from mindvit.report.line_charts import line_charts
from mindvit.report.reliability_diagram import reliability_diagram
from mindvit.report.run_record import read_run
from tests.report.conftest import epoch


def test_a_chart_shows_the_values_of_the_metrics(make_run):
    lines = "".join(json.dumps(epoch(n, ema_top1=60.0 + n, ema_top5=90.0, ema_val_loss=0.1)) + "\n" for n in (1, 2, 3))
    step = '{"event": "step", "epoch": 2, "step": 15, "lr": 0.25, "train_loss": 1.0, "images_per_second": 7.0}\n'
    charts = {chart.title: chart for chart in line_charts([read_run(make_run(epochs=0, extra=lines + step))])}
    assert list(charts) == [
        *("Loss", "Top-1, %", "Top-5, %", "Learning rate"),
        *("Throughput, images/s", "Norm of the gradient"),
    ]
    curves = {curve.label: curve.points for curve in charts["Top-1, %"].curves}
    assert curves == {
        "validation": [(1, 51.0), (2, 52.0), (3, 53.0)],
        "validation, EMA": [(1, 61.0), (2, 62.0), (3, 63.0)],
    }
    assert (1.5, 0.25) in charts["Learning rate"].curves[0].points, "a step within an epoch"
    root = ElementTree.fromstring(str(charts["Top-1, %"].svg))
    assert "validation, EMA: first 61, last 63, least 61, greatest 63" in root.findtext("desc")
    assert "Epoch" in [text for item in root.iter() if item.tag.endswith("text") for text in item.itertext()]


def test_figures_have_the_colors_of_the_page_and_names_of_their_own(make_run, evaluated):
    run = read_run(make_run("other"))
    _, evaluation = evaluated()
    figures = [str(chart.svg) for chart in line_charts([run])]
    figures.append(str(reliability_diagram(evaluation.record.calibration, "reliability-1")))
    for svg in figures:
        assert not re.search(r"#0000[ef]\d|<style|font-family|<\?xml|DOCTYPE", svg)
        assert "var(--series-1)" in svg and "currentColor" in svg
    ids = [name for svg in figures for name in re.findall(r' id="([^"]*)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in figures:
        own = set(re.findall(r' id="([^"]*)"', svg))
        assert set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', svg)) <= {
            (a, b) for a in own | {""} for b in own | {""}
        }


def test_of_two_runs_the_best_weights_of_each_are_drawn(make_run):
    first = read_run(make_run("a"))
    lines = "".join(json.dumps(epoch(n, ema_top1=99.0, ema_top5=99.0, ema_val_loss=0.1)) + "\n" for n in (1, 2))
    second = read_run(make_run("b", epochs=0, extra=lines))
    charts = {chart.title: chart for chart in line_charts([first, second])}
    assert [curve.label for curve in charts["Top-1, %"].curves] == ["A: validation", "B: validation, EMA"]
    assert [(curve.label, curve.color, curve.is_dashed) for curve in charts["Loss"].curves] == [
        *(("A: training", 1, True), ("A: validation", 1, False)),
        *(("B: training", 2, True), ("B: validation, EMA", 2, False)),
    ]


def test_long_runs_have_few_points_and_metrics_that_are_missing_no_chart(make_run):
    run = read_run(make_run())
    run = replace(run, epochs=[{"event": "epoch", "epoch": n, "step": n, "train_loss": 1.0} for n in range(1, 1000)])
    (chart,) = line_charts([run])
    points = chart.curves[0].points
    assert len(points) == 300 and points[0][0] == 1 and points[-1][0] == 999
