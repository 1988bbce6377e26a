"""The headline of a report: the result of a run, and how those of two runs differ."""

import math
from dataclasses import dataclass
from statistics import median

from mindvit.evaluation.evaluation_file import EvaluationRecord
from mindvit.report.run_record import RunRecord
from mindvit.run_metrics import WeightsKind

MINUS = "\N{MINUS SIGN}"
_KINDS = {WeightsKind.RAW: "trained weights", WeightsKind.EMA: "EMA weights", WeightsKind.SWA: "SWA weights"}


@dataclass(frozen=True)
class KeyFigure:
    """A figure of the headline."""

    label: str
    text: str
    """The value with its unit."""
    hint: str = ""
    """What it is of."""
    value: float | None = None
    """The value, to compare; None if it is no number."""
    digits: int = 2
    """Decimals of a difference."""
    higher_is_better: bool | None = None
    """None if neither is better."""


@dataclass(frozen=True)
class FigureDifference:
    """A figure of two runs."""

    label: str
    first: str
    second: str
    difference: str
    """Second minus first, with its sign."""
    is_better: bool | None
    """Whether the second is better; None if they are equal or neither is better."""


def key_figures(run: RunRecord, record: EvaluationRecord | None) -> list[KeyFigure]:
    """The figures of a run: accuracy first. Those that are not known are left out.

    Accuracies are those of the evaluation of the best checkpoint, or else those that the run measured.
    """
    best, summary, figures = run.best, run.summary, []
    if record is not None:
        top1, top5, loss, count = record.top1, record.top5, record.loss, record.num_images
        hint = f"{count:,} images, best checkpoint"
    else:
        top1, top5, loss = (best and best.top1, best and best.top5, best and best.val_loss)
        hint = f"{best.num_images:,} validation images, best epoch" if best else ""
    if top1 is not None:
        figures.append(KeyFigure("Top-1", f"{top1:.2f} %", hint, top1, 2, True))
        if run.shows_top5:
            figures.append(KeyFigure("Top-5", f"{top5:.2f} %", hint, top5, 2, True))
        figures.append(KeyFigure("Loss", f"{loss:.4f}", "cross-entropy, without label smoothing", loss, 4, False))
    if record is not None:
        f1, ece = 100 * record.macro.f1, 100 * record.calibration.ece
        figures.append(KeyFigure("Macro F1", f"{f1:.2f} %", "mean over the classes", f1, 2, True))
        figures.append(KeyFigure("ECE", f"{ece:.2f} %", "calibration error, 15 bins", ece, 2, False))
    if best is not None:
        figures.append(KeyFigure("Best epoch", str(best.epoch), _KINDS[best.weights], best.epoch, 0))
    trained = run.epochs[-1]["epoch"] if run.epochs else 0
    planned = f"of {run.total_epochs}" if run.total_epochs else ""
    figures.append(KeyFigure("Epochs", str(trained), planned, trained, 0))
    speeds = [record["images_per_second"] for record in run.epochs if record.get("images_per_second")]
    speed = (summary and summary.images_per_second) or (median(speeds) if speeds else None)
    if speed:
        figures.append(KeyFigure("Images/s", f"{speed:,.0f}", "training throughput", speed, 0, True))
    seconds = summary.train_seconds if summary else _seconds(run)
    if seconds:
        hint = "training and evaluation" if summary else "of the epochs that ended"
        figures.append(KeyFigure("Time", _duration(seconds), hint, seconds, 0))
    return figures


def compare_figures(first: list[KeyFigure], second: list[KeyFigure]) -> list[FigureDifference]:
    """The figures of two runs side by side. A figure that only one has is left out of the other's column."""
    labels = [*(item.label for item in first), *(item.label for item in second)]
    one, other = ({item.label: item for item in figures} for figures in (first, second))
    return [_difference(label, one.get(label), other.get(label)) for label in dict.fromkeys(labels)]


def status(run: RunRecord) -> str:
    """Whether the run has ended, and why."""
    if run.summary is None:
        trained = run.epochs[-1]["epoch"] if run.epochs else 0
        of = f" of {run.total_epochs}" if run.total_epochs else ""
        return f"not finished: {trained}{of} epochs"
    if run.summary.stopped_early:
        return f"stopped early after epoch {run.summary.epochs}"
    return f"finished after epoch {run.summary.epochs}"


def _difference(label: str, one: KeyFigure | None, other: KeyFigure | None) -> FigureDifference:
    texts = [item.text if item else "\N{EN DASH}" for item in (one, other)]
    if one is None or other is None or one.value is None or other.value is None:
        return FigureDifference(label, *texts, "", None)
    digits = one.digits
    change = round(other.value - one.value, digits)
    better = None if one.higher_is_better is None or not change else (change > 0) == one.higher_is_better
    if label == "Time":
        text = f"{MINUS if change < 0 else '+'}{_duration(abs(change))}" if change else "0 s"
    else:
        text = f"{MINUS if change < 0 else '+' if change else ''}{abs(change):,.{digits}f}"
    return FigureDifference(label, *texts, text, better)


def _seconds(run: RunRecord) -> float:
    times = (record.get(name) or 0 for record in run.epochs for name in ("train_seconds", "eval_seconds"))
    return math.fsum(times)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
