"""The curves of one run or of two: loss, accuracy, learning rate, throughput and the norm of the gradient."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mindvit.report.inline_svg import GRID, SERIES, draw_inline
from mindvit.report.run_record import RunRecord
from mindvit.run_metrics import WeightsKind

_POINTS = 300
"""Greatest number of points of a curve; more would be closer than the pixels of a page."""


@dataclass(frozen=True)
class Curve:
    """One line of a chart."""

    label: str
    points: list[tuple[float, float]]
    """Epoch and value."""
    color: int
    """Number of the color, from 1."""
    is_dashed: bool = False


@dataclass(frozen=True)
class LineChart:
    """A chart, and what its legend says."""

    title: str
    curves: list[Curve]
    svg: Markup = field(repr=False)


@dataclass(frozen=True)
class _Metric:
    """A line of a chart: the name of a metric, and how it is drawn."""

    key: str
    label: str
    color: int
    is_dashed: bool = False
    steps: bool = False
    """Whether to draw the values within epochs too."""


def _of_averages(metric: str, label: str) -> list[_Metric]:
    kinds = ((WeightsKind.EMA, 3), (WeightsKind.SWA, 4))
    return [_Metric(kind.prefixed(metric), f"{label}, {kind.name}", color) for kind, color in kinds]


_CHARTS = {
    "Loss": [
        _Metric("train_loss", "training", 2, is_dashed=True),
        _Metric("val_loss", "validation", 1),
        *_of_averages("val_loss", "validation"),
    ],
    "Top-1, %": [_Metric("top1", "validation", 1), *_of_averages("top1", "validation")],
    "Top-5, %": [_Metric("top5", "validation", 1), *_of_averages("top5", "validation")],
    "Learning rate": [_Metric("lr", "end of step", 1, steps=True)],
    "Throughput, images/s": [_Metric("images_per_second", "training", 1)],
    "Norm of the gradient": [_Metric("grad_norm", "mean of the epoch, before clipping", 1)],
}


def line_charts(runs: Sequence[RunRecord]) -> list[LineChart]:
    """The charts of one run, or of two runs in the same axes.

    Of one run, a color is a kind of weights. Of two, a color is a run, and only the best kind of weights of each is
    drawn, so that the lines remain few. Charts without values are left out; so is Top-5 with five classes or fewer.
    """
    charts = []
    for title, metrics in _CHARTS.items():
        if title.startswith("Top-5") and not any(run.shows_top5 for run in runs):
            continue
        curves = _of_one(runs[0], metrics) if len(runs) == 1 else _of_two(runs, metrics)
        if curves:
            name = f"chart-{len(charts) + 1}"
            described = "; ".join(_describe(curve) for curve in curves)

            def draw(axes: Axes, curves: list[Curve] = curves, title: str = title) -> None:
                _draw(axes, curves, title)

            charts.append(LineChart(title, curves, draw_inline(draw, name, f"{title} by epoch", described)))
    return charts


def _of_one(run: RunRecord, metrics: list[_Metric]) -> list[Curve]:
    curves = [Curve(item.label, _points(run, item), item.color, item.is_dashed) for item in metrics]
    return [curve for curve in curves if curve.points]


def _of_two(runs: Sequence[RunRecord], metrics: list[_Metric]) -> list[Curve]:
    curves = []
    for color, (letter, run) in enumerate(zip("AB", runs, strict=True), 1):
        best = run.best.weights if run.best else WeightsKind.RAW
        for item in metrics:
            kind = next((kind for kind in WeightsKind if item.key.startswith(f"{kind.value}_")), WeightsKind.RAW)
            is_validation = any(name in item.key for name in ("top1", "top5", "val_loss"))
            points = _points(run, item)
            if points and (not is_validation or kind is best):
                label = f"{letter}: {item.label}"
                curves.append(Curve(label, points, color, item.is_dashed))
    return curves


def _points(run: RunRecord, metric: _Metric) -> list[tuple[float, float]]:
    points = _values(run.epochs, metric.key, lambda record: record["epoch"])
    if metric.steps and run.steps_per_epoch:
        points += _values(run.steps, metric.key, lambda record: record["step"] / run.steps_per_epoch)
    points.sort()
    if len(points) > _POINTS:
        points = [points[index] for index in np.linspace(0, len(points) - 1, _POINTS).round().astype(int)]
    return points


def _values(records: list[dict[str, Any]], key: str, position: Any) -> list[tuple[float, float]]:
    return [(position(record), record[key]) for record in records if record.get(key) is not None]


def _draw(axes: Axes, curves: list[Curve], title: str) -> None:
    for curve in curves:
        axes.plot(
            *zip(*curve.points, strict=True),
            color=SERIES[curve.color - 1],
            linestyle="--" if curve.is_dashed else "-",
            linewidth=1.6,
            marker="." if len(curve.points) <= 40 else None,
            markersize=4,
        )
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(color=GRID, linewidth=0.6)
    axes.tick_params(length=0)
    if title == "Learning rate":
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3), useMathText=False)
    if title.startswith("Throughput"):
        axes.set_ylim(bottom=0)


def _describe(curve: Curve) -> str:
    values = [value for _, value in curve.points]
    return (
        f"{curve.label}: first {values[0]:.4g}, last {values[-1]:.4g}, "
        f"least {min(values):.4g}, greatest {max(values):.4g}"
    )
