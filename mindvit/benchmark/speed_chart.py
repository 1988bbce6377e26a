"""The chart of a benchmark: time, memory and utilization against size, or the contestants of a single case."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from mindvit.benchmark.speed_report import Case, Speed, SpeedReport
from mindvit.visualize.figures import make_figure, write_figure

_PANELS = {
    "Milliseconds per image": lambda case, speed: speed.milliseconds / case.batch_size,
    "Peak memory of the process, GB": lambda case, speed: speed.peak_process_mb / 1000,
    "Share of the peak (MFU), %": lambda case, speed: 100 * (speed.mfu or 0),
}
_WITHOUT_PRODUCTS = {"Images/s": lambda case, speed: speed.images_per_second.median, **dict(list(_PANELS.items())[:2])}
_SIZES = {
    "batch_size": ("Images per step", "batch"),
    "image_size": ("Side of the image, pixels", "side"),
    "num_workers": ("Data workers", "workers"),
}
"""Sizes that cases may differ in: their names along an axis and in a label."""
_WIDE = 20
"""The ratio of values above which their axis is logarithmic."""


def draw_chart(report: SpeedReport, path: Path) -> None:
    """Draws a report: lines against the size that has most values, one for all else that varies; or bars.

    Args:
        report: the report.
        path: the figure; its extension sets the format.

    Raises:
        UserError: if the figure cannot be written.
    """
    figure = make_figure(12, 4)
    values = _PANELS if any(speed.mfu for case in report.cases for speed in case.speeds) else _WITHOUT_PRODUCTS
    panels = figure.subplots(1, len(values))
    counts = {name: len({_size(case, name) for case in report.cases}) for name in _SIZES}
    along = max(counts, key=lambda name: counts[name])
    others = [name for name in _SIZES if counts[name] > 1 and name != along]
    lines = _lines(report.cases, along, others)
    for axes, (title, value) in zip(panels, values.items(), strict=True):
        if counts[along] == 1:
            # The label of a line is then all that points differ in.
            points = [(label, value(*line[0])) for label, line in lines.items()]
            axes.bar([label for label, _ in points], [height for _, height in points])
            axes.tick_params(axis="x", rotation=20)
        else:
            for label, line in lines.items():
                sizes = [_size(case, along) for case, _ in line]
                axes.plot(sizes, [value(case, speed) for case, speed in line], marker=".", label=label)
            _label_sizes(axes, [_size(case, along) for case in report.cases])
            axes.set_xlabel(_SIZES[along][0])
        scale_values(axes, [value(case, speed) for case in report.cases for speed in case.speeds])
        axes.set_title(title)
        axes.grid(alpha=0.3)
    if counts[along] > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    environment = report.environment
    figure.suptitle(f"{report.task}: {environment['processor']}, {report.threads} threads", fontsize="medium")
    write_figure(figure, path)


def _lines(cases: list[Case], along: str, others: list[str]) -> dict[str, list[tuple[Case, Speed]]]:
    """The points of each line by its label, which names all that varies but ``along``."""
    several_models = len({case.model for case in cases}) > 1
    several_contestants = any(len(case.speeds) > 1 for case in cases)
    lines: dict[str, list[tuple[Case, Speed]]] = {}
    for case in sorted(cases, key=lambda case: _size(case, along)):
        for speed in case.speeds:
            parts = [case.model] if several_models else []
            parts += [speed.contestant] if several_contestants else []
            parts += [f"{_SIZES[name][1]} {_size(case, name)}" for name in others]
            lines.setdefault(", ".join(parts) or case.model, []).append((case, speed))
    return lines


def _size(case: Case, name: str) -> int:
    value = getattr(case, name)
    return (value[1] if name == "image_size" else value) or 0


def scale_values(axes: Axes, values: Sequence[float]) -> None:
    """Gives an axis of positive values that differ by a factor above 20 a logarithmic scale; others start at 0."""
    if min(values) > 0 and max(values) > _WIDE * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)


def _label_sizes(axes: Axes, sizes: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(set(sizes)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
