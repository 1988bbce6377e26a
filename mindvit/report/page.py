"""The HTML page of a report: what its template shows, and how numbers are written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import mindvit
from mindvit.evaluation.class_metrics import ClassMetrics
from mindvit.evaluation.evaluation_file import EvaluationRecord
from mindvit.evaluation.evaluation_table import relative
from mindvit.printable import printable
from mindvit.report.class_differences import class_differences
from mindvit.report.heat_map import HeatCell, heat_cells, heat_image
from mindvit.report.key_figures import MINUS, KeyFigure, compare_figures, key_figures, status
from mindvit.report.line_charts import line_charts
from mindvit.report.reliability_diagram import reliability_diagram
from mindvit.report.run_evaluation import RunEvaluation
from mindvit.report.run_record import RunRecord
from mindvit.report.setting_tables import SettingRow, setting_differences, setting_rows
from mindvit.run_metrics import WeightsKind

_CLASSES = 25
"""Greatest number of classes that are shown at once; of more, the worst, and all on demand."""
_CONFUSIONS = 20
_ON_TRAINING_IMAGES = (
    "The checkpoint was trained on the evaluated images: the figures do not tell how it does on others."
)


@dataclass(frozen=True)
class EpochColumn:
    """A column of the table of epochs."""

    title: str
    key: str
    """Name in ``metrics.jsonl``."""
    digits: int


_EPOCH_COLUMNS = (
    EpochColumn("Training loss", "train_loss", 4),
    *(
        EpochColumn(f"{title}{'' if kind is WeightsKind.RAW else f', {kind.name}'}", kind.prefixed(key), digits)
        for kind in WeightsKind
        for title, key, digits in (("Validation loss", "val_loss", 4), ("Top-1, %", "top1", 2), ("Top-5, %", "top5", 2))
    ),
    EpochColumn("Learning rate", "lr", 7),
    EpochColumn("Gradient norm", "grad_norm", 3),
    EpochColumn("Images/s", "images_per_second", 1),
)


_ENVIRONMENT_ROWS = (
    ("mindvit", "mindvit"),
    ("MindSpore", "mindspore"),
    ("NumPy", "numpy"),
    ("Python", "python"),
    ("System", "system"),
    ("Processor", "processor"),
    ("Cores", "cores"),
    ("Memory, GB", "memory_gb"),
    ("Device", "device"),
    ("Mixed precision", "amp_level"),
    ("Ranks", "ranks"),
)
"""Titles of the fields of ``Environment``."""


@dataclass(frozen=True)
class RunView:
    """One run, as the template shows it."""

    letter: str
    """A or B; empty if the page is about one run."""
    color: int
    """Number of the color of its bars."""
    run: RunRecord
    evaluation: RunEvaluation
    status: str
    figures: list[KeyFigure]
    setting_rows: list[SettingRow]
    reliability: Markup | None
    cells: list[list[HeatCell]] | None
    heat_image: str | None

    @property
    def record(self) -> EvaluationRecord | None:
        """The evaluation of its best checkpoint."""
        return self.evaluation.record

    @property
    def names(self) -> dict[str, str]:
        """The names of the classes, by id."""
        return {item.id: item.name for item in self.record.per_class}

    @property
    def with_images(self) -> list[ClassMetrics]:
        """The classes that were evaluated."""
        return [item for item in self.record.per_class if item.support]

    @property
    def worst(self) -> list[ClassMetrics]:
        """The classes that are shown at once: all, or those with the lowest F1."""
        classes = self.with_images
        return classes if len(classes) <= _CLASSES else sorted(classes, key=lambda item: item.f1)[:_CLASSES]

    @property
    def notes(self) -> list[str]:
        """What is missing, or must be known about the figures."""
        seen = [_ON_TRAINING_IMAGES] if self.record and self.record.on_training_images else []
        return [*seen, *self.run.notes, *self.evaluation.notes]

    @property
    def epoch_columns(self) -> list[EpochColumn]:
        """The columns of the table of epochs that have values."""
        return [
            column
            for column in _EPOCH_COLUMNS
            if any(record.get(column.key) is not None for record in self.run.epochs)
            and (self.run.shows_top5 or "top5" not in column.key)
        ]


def render_page(runs: Sequence[RunRecord], evaluations: Sequence[RunEvaluation]) -> str:
    """The page as HTML, in UTF-8, with styles, charts and images inside it and without scripts.

    Names of classes, files and folders, and all other texts, are escaped.

    Args:
        runs: one run, or two to compare.
        evaluations: the evaluation of each.
    """
    views = [
        _view("" if len(runs) == 1 else letter, number, run, evaluation)
        for number, (letter, run, evaluation) in enumerate(zip("AB", runs, evaluations, strict=False), 1)
    ]
    first, second = views[0], views[1] if len(views) > 1 else None
    both_settings = second and first.run.settings is not None and second.run.settings is not None
    return (
        _environment()
        .get_template("report.html")
        .render(
            views=views,
            charts=line_charts([view.run for view in views]),
            comparison=second and compare_figures(first.figures, second.figures),
            differences=setting_differences(first.run.settings, second.run.settings) if both_settings else None,
            class_differences=class_differences(first.record, second.record)
            if second and first.record and second.record
            else None,
            environment_rows=_ENVIRONMENT_ROWS,
            shown_classes=_CLASSES,
            shown_confusions=_CONFUSIONS,
            version=mindvit.__version__,
            made_on=date.today().isoformat(),
        )
    )


def _view(letter: str, number: int, run: RunRecord, evaluation: RunEvaluation) -> RunView:
    record = evaluation.record
    if record is not None:
        run = replace(run, num_classes=len(record.per_class))
    return RunView(
        letter,
        number,
        run,
        evaluation,
        status(run),
        key_figures(run, record),
        setting_rows(run.settings or {}),
        record and reliability_diagram(record.calibration, f"reliability-{number}", number),
        record and heat_cells(record),
        record and heat_image(record),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mindvit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,
    )
    environment.filters |= {
        "percent": _percent,
        "number": _number,
        "relative": relative,
        "change": _change,
        "breakable": _breakable,
    }
    return environment


def _harmless(value: Any) -> Any:
    """Texts without characters that change the direction of others, or that UTF-8 cannot encode."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _percent(value: float | None, digits: int = 1) -> str:
    return "\N{EN DASH}" if value is None else f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%"


def _number(value: float | None, digits: int = 3) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.{digits}f}"


def _change(value: float | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    text = f"{value:+.3f}"
    return "0" if text in ("+0.000", "-0.000") else text.replace("-", MINUS)


def _breakable(name: str) -> Markup:
    """The name of a setting, which may wrap at its dots and underscores."""
    parts = re.split(r"(?<=[._/])", printable(name))
    return Markup("<wbr>").join(escape(part) for part in parts)
