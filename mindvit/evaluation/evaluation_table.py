"""What an evaluation prints."""

from collections.abc import Sequence

from mindvit.evaluation.class_metrics import ClassMetrics
from mindvit.evaluation.evaluation_file import EvaluationRecord
from mindvit.printable import first_names, printable
from mindvit.run_metrics import shows_top5
from mindvit.text_columns import pad, shorten

_NAMES = 10
"""Names of skipped images or omitted classes; the files have all of them."""
_CLASSES = 20
"""Greatest number of classes of which all are printed."""
_WORST = 10
_CONFUSIONS = 10
_MISTAKES = 5
_NAME_WIDTH = 24
"""Columns of a class name."""
_FILE_WIDTH = 44
"""Columns of the location of an image."""


def evaluation_table(record: EvaluationRecord) -> str:
    """The result as text of at most 100 columns: accuracy first, then where the network errs."""
    names = {item.id: item.name for item in record.per_class}
    sections = [_headline(record), _classes(record), _confusions(record, names), _mistakes(record, names)]
    return "\n\n".join(section for section in sections if section)


def _headline(record: EvaluationRecord) -> str:
    rows = {
        "ckpt": record.ckpt,
        "model": record.model,
        "data": record.data,
        "Top-1": f"{record.top1:.2f} %",
        "Top-5": f"{record.top5:.2f} %",
        "loss": f"{record.loss:.4f}",
        "ECE": f"{100 * record.calibration.ece:.2f} % (mean confidence {100 * record.calibration.confidence:.2f} %)",
        "images": f"{record.num_images:,}",
    }
    if not shows_top5(len(record.per_class)):
        del rows["Top-5"]
    if record.other_classes:
        rows["omitted"] = (
            f"{record.images_of_other_classes:,} of other classes: {first_names(record.other_classes, _NAMES)}"
        )
    if record.skipped_images is not None:
        skipped = record.skipped_images
        rows["skipped"] = f"{len(skipped):,} corrupt{': ' if skipped else ''}{first_names(skipped, _NAMES)}"
    return "\n".join(f"{key:<8} {printable(value)}" for key, value in rows.items())


def _classes(record: EvaluationRecord) -> str:
    shown: Sequence[ClassMetrics] = record.per_class
    title = "class"
    if len(shown) > _CLASSES:
        with_images = [item for item in shown if item.support]
        shown = sorted(with_images, key=lambda item: (item.f1, item.recall))[:_WORST]
        title = f"worst {len(shown)} of {len(with_images):,}"
    rows = [(item.name, item.precision, item.recall, item.f1, item.support) for item in shown]
    averages = [
        (f"{name} average", mean.precision, mean.recall, mean.f1, record.num_images)
        for name, mean in (("macro", record.macro), ("weighted", record.weighted))
    ]
    lines = [f"{_fit(title, _NAME_WIDTH)}  precision    recall        F1    images"]
    for name, precision, recall, f1, support in [*rows, *averages]:
        values = "".join(f"{_number(value):>10}" for value in (precision, recall, f1))
        lines.append(f"{_fit(name, _NAME_WIDTH)} {values}{support:>10,}")
    return "\n".join(lines)


def _confusions(record: EvaluationRecord, names: dict[str, str]) -> str:
    lines = [
        f"  {_fit(names[pair.true], _NAME_WIDTH)} as {_fit(names[pair.predicted], _NAME_WIDTH)}"
        f"{pair.num_images:>8,} ({100 * pair.share:.1f} % of its images)"
        for pair in record.confusions[:_CONFUSIONS]
    ]
    more = f", the {_CONFUSIONS} largest of {len(record.confusions):,}" if len(record.confusions) > _CONFUSIONS else ""
    return "\n".join([f"confusions{more}", *lines]) if lines else ""


def _mistakes(record: EvaluationRecord, names: dict[str, str]) -> str:
    lines = [
        f"  {_fit(relative(item.file, record.data), _FILE_WIDTH, keep_end=True)} "
        f"{printable(names[item.true], _NAME_WIDTH)} -> {printable(names[item.predicted], _NAME_WIDTH)} "
        f"{100 * item.probability:.1f} %"
        for item in record.mistakes[:_MISTAKES]
    ]
    title = f"most confident mistakes of {record.num_mistakes:,} (file, true -> predicted, probability)"
    return "\n".join([title, *lines]) if lines else ""


def relative(file: str, origin: str) -> str:
    """The location of an image without the folder of the split."""
    return file.removeprefix(origin).lstrip("/") if file.startswith(f"{origin}/") else file


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _fit(text: str, width: int, keep_end: bool = False) -> str:
    return pad(shorten(printable(text), width, keep_end), width)
