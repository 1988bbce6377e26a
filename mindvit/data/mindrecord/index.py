"""Locating the images in a MindRecord file.

A MindRecord file starts with the length of its header (uint64, little-endian, like all lengths) and the header as JSON.
Pages of ``page_size`` bytes follow from byte ``header_size`` on. The index file is an SQLite database. For each row it
has the page with the row's data, and the start and end of the data on the page. The data are the length of the image
file, as uint64, and the file. This module reads the index without MindSpore: ``MindDataset`` supports only the order of
its own samplers, and ``MindPage`` takes 50 ms per row.
"""

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from mindvit.data.mindrecord.manifest import INDEX_SUFFIX
from mindvit.errors import UserError

LENGTH_BYTES = 8
_HEADER_LIMIT = 2**27
"""Maximum header size that MindSpore writes."""
_ROWS_QUERY = (
    "SELECT ROW_ID, PAGE_ID_BLOB, PAGE_OFFSET_BLOB, PAGE_OFFSET_BLOB_END, label_0 "
    "FROM INDEXES ORDER BY ROW_ID LIMIT ?"
)  # fmt: skip
_NAMES_QUERY = "SELECT file_0 FROM INDEXES ORDER BY ROW_ID LIMIT ?"


@dataclass(frozen=True)
class Rows:
    """The rows of a shard, in order."""

    labels: np.ndarray
    """int32, (num_images,)."""
    offsets: np.ndarray
    """int64, (num_images,): offset of the row's data in the file, in bytes."""
    sizes: np.ndarray
    """int64, (num_images,): size of the row's data in bytes, including the length before the image file."""


def read_rows(path: Path, count: int, num_classes: int) -> Rows:
    """Reads the positions of the images in a shard, and checks that all values are valid.

    Args:
        path: the MindRecord file.
        count: expected number of images.
        num_classes: number of classes; labels must be smaller.

    Raises:
        UserError: if the file or its index is not valid, or has another number of images.
    """
    try:
        header_size, page_size, file_size = _read_sizes(path)
        rows = np.array(_query_index(path, _ROWS_QUERY, count), np.int64).reshape(-1, 5)
        if len(rows) != count:
            found = f"{len(rows):,}" if len(rows) < count else "more"
            raise UserError(
                f"{path} has {found} images, but the manifest says {count:,}; run the conversion again with --overwrite"
            )
        numbers, pages, first, last, labels = rows.T
        # Page numbers are checked first, so that no offset overflows.
        valid = (numbers == np.arange(count)) & (pages >= 0) & (pages <= file_size // page_size)
        valid &= (first >= 0) & (first + LENGTH_BYTES <= last) & (last <= page_size)
        offsets = header_size + np.where(valid, pages, 0) * page_size + first
        sizes = last - first
        valid &= (offsets + sizes <= file_size) & (labels >= 0) & (labels < num_classes)
        if not valid.all():
            raise ValueError(f"row {int(valid.argmin())} is invalid")
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, sqlite3.Error) as error:
        raise UserError(
            f"{path} or its index is corrupt ({error}); remove both and run the conversion again"
        ) from error
    return Rows(labels.astype(np.int32), offsets, sizes)


def read_names(path: Path, count: int) -> list[str]:
    """The paths of a shard's images in the source, relative to the folder of their split.

    Raises:
        UserError: if the index cannot be read.
    """
    try:
        return [str(name) for (name,) in _query_index(path, _NAMES_QUERY, count)]
    except sqlite3.Error as error:
        raise UserError(f"cannot read the index of {path} ({error})") from error


def _read_sizes(path: Path) -> tuple[int, int, int]:
    """The header size, page size and file size of a MindRecord file, in bytes."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if length > _HEADER_LIMIT:
            raise ValueError("the header is missing")
        header = json.loads(file.read(length))
        sizes = header["header_size"], header["page_size"], os.fstat(file.fileno()).st_size
    if not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError("the header has no valid sizes")
    return sizes


def _query_index(path: Path, query: str, count: int) -> list[tuple]:
    """The first ``count`` + 1 rows of an index. No code in the database is executed, and nothing is written."""
    index = quote(os.fsencode(path.absolute().with_name(path.stem + INDEX_SUFFIX)))
    with closing(sqlite3.connect(f"file:{index}?mode=ro&immutable=1", uri=True)) as database:
        database.execute("PRAGMA trusted_schema = OFF")
        types = database.execute("SELECT type FROM sqlite_master WHERE name = 'INDEXES'").fetchall()
        if types != [("table",)]:
            raise sqlite3.DatabaseError("the table INDEXES is missing")
        return database.execute(query, (count + 1,)).fetchall()
