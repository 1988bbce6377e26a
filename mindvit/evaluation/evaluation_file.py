"""The files of an evaluation: JSON, and tables as CSV."""

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mindvit.csv_text import csv_text
from mindvit.data.split import Split
from mindvit.errors import UserError
from mindvit.evaluation.calibration import Calibration
from mindvit.evaluation.class_metrics import Averages, ClassMetrics, Confusion
from mindvit.evaluation.error_analysis import Mistake, mistakes_by_confidence
from mindvit.evaluation.image_predictions import ImagePredictions
from mindvit.evaluation.metrics import Evaluation
from mindvit.files import make_folder, reraise_os_errors, write_text
from mindvit.json_schema import decode
from mindvit.printable import printable
from mindvit.strict_json import dump_json, parse_json

JSON_NAME = "evaluation.json"
_MATRIX_CLASSES = 100
"""Greatest number of classes for which the JSON has the whole confusion matrix."""


@dataclass(frozen=True)
class EvaluationRecord:
    """The content of the JSON file of an evaluation. Fields with a default are omitted if they have it."""

    top1: float
    top5: float
    loss: float
    num_images: int
    ckpt: str
    """The checkpoint, as it was given."""
    model: str
    """Model name."""
    data: str
    """Location of the images."""
    num_mistakes: int
    calibration: Calibration
    macro: Averages
    weighted: Averages
    per_class: tuple[ClassMetrics, ...]
    confusion_matrix: tuple[tuple[int, ...], ...] | None
    """Images by true class (row) and predicted class (column); None with more than 100 classes. The confusions and the
    recall of each class say the same."""
    confusions: tuple[Confusion, ...]
    mistakes: tuple[Mistake, ...]
    other_classes: tuple[str, ...] | None = None
    """Ids of the classes of the split that were not evaluated."""
    images_of_other_classes: int | None = None
    """Their images."""
    on_training_images: bool = False
    """Whether the checkpoint was trained on the evaluated images."""
    skipped_images: tuple[str, ...] | None = None
    """Corrupt images that were skipped; None if they are an error."""

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        omitted = {item.name for item in fields(self) if getattr(self, item.name) == item.default is not MISSING}
        return {name: value for name, value in asdict(self).items() if name not in omitted}

    @classmethod
    def of(cls, result: Evaluation, **about: Any) -> "EvaluationRecord":
        """The record of an evaluation.

        Args:
            result: the evaluation, with its analysis.
            about: the other fields.
        """
        analysis = result.analysis
        matrix = analysis.confusion_matrix
        shared = {item.name for item in fields(cls)} & set(vars(analysis)) - {"confusion_matrix"}
        return cls(
            top1=result.top1,
            top5=result.top5,
            loss=result.loss,
            num_images=result.num_images,
            confusion_matrix=tuple(map(tuple, matrix.tolist())) if len(matrix) <= _MATRIX_CLASSES else None,
            **{name: getattr(analysis, name) for name in shared},
            **about,
        )


def is_json(output: Path) -> bool:
    """Whether an output is a JSON file. Otherwise it is a folder."""
    return output.suffix.lower() == ".json"


def prepare_output(output: Path) -> None:
    """Creates the folder that an evaluation is written to.

    Raises:
        UserError: if it cannot be written.
    """
    make_folder(output.parent if is_json(output) else output)


def write_evaluation(output: Path, record: EvaluationRecord, predictions: ImagePredictions, split: Split) -> None:
    """Writes ``output`` if it is a JSON file; otherwise ``evaluation.json`` and the tables into that folder.

    Args:
        output: a file that ends in .json, or a folder.
        record: the metrics.
        predictions: the prediction of each image.
        split: the images.

    Raises:
        UserError: if a file cannot be written.
    """
    if is_json(output):
        _write_json(output, record)
        return
    ids = split.classes.ids
    _write_csv(output / "per_class.csv", [asdict(item) for item in record.per_class])
    matrix = _matrix_rows(predictions, ids)
    _write_rows(output / "confusion_matrix.csv", ["true \\ predicted", *ids], matrix)
    _write_csv(output / "predictions.csv", _prediction_rows(predictions, split, range(len(predictions))))
    wrong = mistakes_by_confidence(predictions).tolist()
    _write_csv(output / "mistakes.csv", _prediction_rows(predictions, split, wrong))
    _write_json(output / JSON_NAME, record)  # The last, so that it stands for all.


def read_evaluation(path: Path) -> EvaluationRecord:
    """Reads the JSON file of an evaluation.

    Raises:
        UserError: if it cannot be read, or is not an evaluation with all sections.
    """
    with reraise_os_errors("read", path):
        content = path.read_bytes()
    known = {item.name for item in fields(EvaluationRecord)}
    try:
        stored = parse_json(content)
        if not isinstance(stored, dict):
            raise ValueError("it must be a JSON object")
        return decode(EvaluationRecord, {name: value for name, value in stored.items() if name in known})
    except ValueError as error:
        raise UserError(f"{path} is not an evaluation ({printable(str(error), 200)}); evaluate again") from error


def _write_json(path: Path, record: EvaluationRecord) -> None:
    write_text(path, dump_json(record.to_json(), indent=2) + "\n")


def _matrix_rows(predictions: ImagePredictions, ids: Sequence[str]) -> Iterable[list]:
    for label, id in enumerate(ids):
        counts = predictions.predicted[predictions.labels == label]
        row = [0] * len(ids)
        for predicted in counts.tolist():
            row[predicted] += 1
        yield [id, *row]


def _prediction_rows(predictions: ImagePredictions, split: Split, rows: Iterable[int]) -> Iterable[dict[str, Any]]:
    ids, true_probability = split.classes.ids, predictions.true_probability
    for row in rows:
        first, *others = (ids[label] for label in predictions.top[row])
        true = ids[predictions.labels[row]]
        yield {
            "file": split.describe(int(predictions.indices[row])),
            "true": true,
            "predicted": first,
            "correct": int(true == first),
            "probability": round(float(predictions.confidence[row]), 6),
            "true_probability": round(float(true_probability[row]), 6),
            **{f"top{rank}": name for rank, name in enumerate(others, 2)},
        }


def _write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)
    _write_rows(path, list(rows[0]) if rows else ["file", "true", "predicted"], (list(row.values()) for row in rows))


def _write_rows(path: Path, header: list[str], rows: Iterable[list]) -> None:
    write_text(path, csv_text(header, rows))
