"""A folder of images with a CSV file that has the label of each image."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from mindvit.classes import Classes
from mindvit.data.images import ScaleChoice, read_image
from mindvit.data.split import Source, Split
from mindvit.errors import UserError
from mindvit.printable import first_names, printable

SPLITS = ("train", "val", "test")
_DELIMITERS = ",;\t"
_SHOWN = 80
"""Characters of a value in a message."""


class _Row(NamedTuple):
    line: int
    file: str
    """Path relative to the folder."""
    label: str
    split: str | None


def open_labels(folder: Path, labels: str) -> Source:
    """Opens the images in a folder that a CSV file lists.

    The first line names the columns ``file``, ``label`` and, optionally, ``split``, in any order; other columns are
    ignored. The columns are separated by commas, semicolons or tabs. The text is UTF-8, with or without a byte-order
    mark. ``file`` is the path of an image relative to the folder. ``split`` is train, val or test. Without splits all
    images are both training and val split, as in ``open_folder``. The classes are the labels of train, sorted.

    Args:
        folder: the folder of the images.
        labels: the CSV file, as ``find_labels`` takes it.

    Raises:
        UserError: if the file cannot be read or is not such a table; for a row without a file, label or split; for a
            path that leaves the folder, a file that is missing or that two rows name; for fewer than two classes, or
            classes of val or test that train lacks. The message names the line.
    """
    if not folder.is_dir():
        raise UserError(f"the data folder {folder} does not exist; set --data.path to the folder of the images")
    table = find_labels(folder, labels)
    rows = _read_rows(table, folder)
    _check_files(table, folder, rows)
    parts = {name: [row for row in rows if row.split == name] for name in (None, *SPLITS)}
    if parts[None]:
        if len(parts[None]) < len(rows):
            first = parts[None][0]
            raise UserError(f"{_line(table, first)} has no split; give every row one of {', '.join(SPLITS)}")
        whole = _make_split(folder, rows, _classes_of(table, rows))
        return Source(train=whole, val=whole)
    classes = _classes_of(table, parts["train"] or rows)
    for row in rows:
        if row.label not in classes.ids:
            shown = printable(row.label, _SHOWN)
            raise UserError(f"{_line(table, row)}: the class {shown!r} of {row.split} has no training images")
    return Source(*(_make_split(folder, parts[name], classes) if parts[name] else None for name in SPLITS))


def find_labels(folder: Path, labels: str) -> Path:
    """The CSV file: the path as it is, or, if no such file exists, relative to the folder of the images."""
    path, inside = Path(labels), folder / labels
    return inside if not path.exists() and inside.exists() else path


def _read_rows(table: Path, folder: Path) -> list[_Row]:
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            rows = list(_parse(table, folder, file))
    except OSError as error:
        raise UserError(f"cannot read the labels {table}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"the labels {table} are not UTF-8; save the file as CSV UTF-8") from error
    if not rows:
        raise UserError(f"the labels {table} list no images")
    return rows


def _parse(table: Path, folder: Path, lines: Iterator[str]) -> Iterator[_Row]:
    header = next(lines, "")
    delimiter = max(_DELIMITERS, key=header.count)
    names = [name.strip().strip('"').strip().lower() for name in header.split(delimiter)]
    if names.count("file") != 1 or names.count("label") != 1 or names.count("split") > 1:
        raise UserError(
            f"the first line of {table} must name the columns file,label or file,label,split; "
            f"it is {printable(header.strip(), _SHOWN)!r}"
        )
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for values in reader:
            if any(value.strip() for value in values):
                row = dict(zip(names, (value.strip() for value in values), strict=False))
                yield _check_row(table, folder, reader.line_num + 1, row, len(values) - len(names))
    except csv.Error as error:
        raise UserError(f"line {reader.line_num + 1} of {table} is not CSV: {error}") from error


def _check_row(table: Path, folder: Path, line: int, row: dict[str, str], surplus: int) -> _Row:
    where = f"line {line} of {table}"
    if surplus > 0:
        raise UserError(
            f"{where} has more values than the first line has columns; put quotes around a value with commas"
        )
    for column in ("file", "label"):
        if not row.get(column):
            raise UserError(f"{where} has no {column}")
    file, split = row["file"], row.get("split", "").lower() or None
    if split not in (None, *SPLITS):
        raise UserError(f"{where} has the split {printable(split, _SHOWN)!r}; it must be one of {', '.join(SPLITS)}")
    # Not Path.resolve: the folder may hold links to images elsewhere.
    relative = os.path.relpath(os.path.join(os.path.abspath(folder), file), os.path.abspath(folder))  # noqa: PTH100, PTH118
    if PurePosixPath(relative).parts[0] == ".." or "\0" in file:
        raise UserError(f"{where}: {printable(file, _SHOWN)} is not inside {folder}, the folder of the images")
    return _Row(line, relative, row["label"], split)


def _check_files(table: Path, folder: Path, rows: list[_Row]) -> None:
    """Checks that each file exists, and is listed once."""
    seen: dict[str, _Row] = {}
    for row in rows:
        first = seen.setdefault(row.file, row)
        if first is not row:
            raise UserError(
                f"lines {first.line} and {row.line} of {table} both name {printable(row.file, _SHOWN)}; remove one"
            )
    missing = [row for row in rows if not (folder / row.file).is_file()]
    if missing:
        files = "1 file is" if len(missing) == 1 else f"{len(missing):,} files are"
        hint = "; write paths with / instead of \\" if "\\" in missing[0].file else ""
        names = first_names([row.file for row in missing])
        raise UserError(f"{_line(table, missing[0])}: {files} missing in {folder}: {names}{hint}")


def _classes_of(table: Path, rows: list[_Row]) -> Classes:
    names = sorted({row.label for row in rows})
    if len(names) < 2:
        raise UserError(
            f"{table} has only one class, {printable(names[0], _SHOWN)!r}; training needs at least two classes"
        )
    return Classes.named(tuple(names))


def _make_split(folder: Path, rows: list[_Row], classes: Classes) -> Split:
    label_of = {name: label for label, name in enumerate(classes.ids)}
    rows = sorted(rows, key=lambda row: (label_of[row.label], row.file))
    files = [row.file for row in rows]

    def describe(index: int) -> str:
        return str(folder / files[index])

    def read(index: int, choose_scale: ScaleChoice | None = None) -> Image.Image:
        return read_image(folder / files[index], choose_scale=choose_scale)

    labels = np.array([label_of[row.label] for row in rows], np.int32)
    return Split(str(folder), classes, labels, read, describe, name=files.__getitem__, read_scaled=read)


def _line(table: Path, row: _Row) -> str:
    return f"line {row.line} of {table}"
