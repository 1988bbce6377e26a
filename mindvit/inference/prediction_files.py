"""Predictions as JSON, JSON lines, CSV, and as text for the screen."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mindvit.csv_text import FORMULA_STARTS, csv_text
from mindvit.files import write_text
from mindvit.inference.batched_pass import Classified
from mindvit.inference.image_inputs import Unreadable
from mindvit.printable import printable
from mindvit.strict_json import dump_json
from mindvit.text_columns import pad, shorten, text_columns

PREDICTION_FORMATS = (".json", ".jsonl", ".csv")
_MAX_NAME = 200
"""Characters of a class name that are printed."""


def write_predictions(path: Path, results: Sequence[Classified], unreadable: Sequence[Unreadable]) -> None:
    """Writes all predictions to one file, atomically.

    - ``.json``: ``{"images": [{"image", "predictions"}, …], "unreadable": [{"image", "reason"}, …]}``
    - ``.jsonl``: the same objects, one a line
    - ``.csv``: file, rank, class, probability, and for a video frame and time. It has no unreadable files. A text that
      a spreadsheet would take for a formula gets an apostrophe before it, a file name ``./``.

    Args:
        path: the file; its extension selects the format.
        results: the predictions.
        unreadable: what was not classified.

    Raises:
        UserError: if the file cannot be written.
    """
    if path.suffix == ".json":
        text = dump_json(as_object(results, unreadable), indent=2) + "\n"
    elif path.suffix == ".jsonl":
        content = as_object(results, unreadable)
        text = "".join(f"{dump_json(entry)}\n" for entry in content["images"] + content["unreadable"])
    else:
        text = _csv(results)
    write_text(path, text)


def as_object(results: Sequence[Classified], unreadable: Sequence[Unreadable]) -> dict[str, Any]:
    """All predictions as JSON values."""
    return {
        "images": [image_object(result) for result in results],
        "unreadable": [{"image": entry.file, "reason": entry.reason} for entry in unreadable],
    }


def image_object(result: Classified) -> dict[str, Any]:
    """The predictions for one image as JSON values."""
    frame = {} if result.frame is None else {"frame": result.frame, "time": result.time}
    return {"image": result.file, **frame, "predictions": [asdict(prediction) for prediction in result.predictions]}


def ranked_lines(result: Classified) -> Iterator[str]:
    """The predictions for one image as lines of text."""
    for rank, prediction in enumerate(result.predictions, 1):
        yield f"{rank}. {printable(prediction.name, _MAX_NAME)}  {100 * prediction.probability:.2f} %"


def table_lines(results: Sequence[Classified], width: int | None = None) -> Iterator[str]:
    """The best class of each image as a table.

    Args:
        results: the predictions.
        width: columns of the terminal; file names and class names are shortened to fit. None: any width.
    """
    rows = [("file", "class", "probability")]
    for result in results:
        best = result.predictions[0]
        where = "" if result.frame is None else f", frame {result.frame}, {result.time:.2f} s"
        name, percent = printable(best.name, _MAX_NAME), f"{100 * best.probability:.2f} %"
        rows.append((printable(result.file) + where, name, percent))
    columns = [max(map(text_columns, column)) for column in zip(*rows, strict=True)]
    if width is not None:
        columns[1] = min(columns[1], max(width // 3, 8))
        columns[0] = min(columns[0], max(width - columns[1] - columns[2] - 4, 12))
    for file, name, percent in rows:
        file, name = shorten(file, columns[0], keep_end=True), shorten(name, columns[1])
        yield f"{pad(file, columns[0])}  {pad(name, columns[1])}  {percent:>{columns[2]}}"


def _csv(results: Sequence[Classified]) -> str:
    has_frames = any(result.frame is not None for result in results)
    rows = []
    for result in results:
        where = [result.frame, result.time] if has_frames else []
        file = f"./{result.file}" if result.file.startswith(FORMULA_STARTS) else result.file
        for rank, prediction in enumerate(result.predictions, 1):
            rows.append([file, rank, prediction.name, f"{prediction.probability:.9g}", *where])
    return csv_text(["file", "rank", "class", "probability", *(["frame", "time"] if has_frames else [])], rows)
