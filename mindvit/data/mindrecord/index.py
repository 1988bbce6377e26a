"""Where in a MindRecord file the images lie.

A MindRecord file begins with the length of its header (uint64, little-endian, as all lengths) and the header as JSON.
From ``header_size`` on follow pages of ``page_size`` bytes. The index beside it, an SQLite database, has for each row
the page that its bytes are on and where on the page they begin and end; they are the length of the image file,
as uint64, and the file. It is read here without MindSpore, whose ``MindDataset`` follows no order but its own samplers'
and whose ``MindPage`` takes 50 ms a row.
"""

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from mindvit.data.mindrecord.manifest import INDEX_ENDING
from mindvit.errors import UserError

LENGTH_BYTES = 8
_HEADER_LIMIT = 2**27
"""The greatest header that MindSpore writes."""
_ROWS = (
    "SELECT ROW_ID, PAGE_ID_BLOB, PAGE_OFFSET_BLOB, PAGE_OFFSET_BLOB_END, label_0 "
    "FROM INDEXES ORDER BY ROW_ID LIMIT ?"
)  # fmt: skip
_NAMES = "SELECT file_0 FROM INDEXES ORDER BY ROW_ID LIMIT ?"


@dataclass(frozen=True)
class Rows:
    """The rows of a shard, in order."""

    labels: np.ndarray
    """int32, (num_images,)."""
    offsets: np.ndarray
    """int64, (num_images,): where in the file a row's bytes begin."""
    sizes: np.ndarray
    """int64, (num_images,): how many they are, the length before the image's own included."""


def read_rows(path: Path, count: int, num_classes: int) -> Rows:
    """Reads where the images of a shard lie, and checks that all of it can be.

    Args:
        path: the MindRecord file.
        count: how many images it must hold.
        num_classes: what labels must be below.

    Raises:
        UserError: if the file or its index is not what MindSpore writes, or holds another number of images.
    """
    try:
        header_size, page_size, file_size = _measures(path)
        rows = np.array(_select(path, _ROWS, count), np.int64).reshape(-1, 5)
        if len(rows) != count:
            found = f"{len(rows):,}" if len(rows) < count else "more"
            raise UserError(
                f"{path} holds {found} images, but its manifest says {count:,}; convert them anew, with --overwrite"
            )
        numbers, pages, first, last, labels = rows.T
        # Pages are bounded first, so that no offset can overflow.
        sound = (numbers == np.arange(count)) & (pages >= 0) & (pages <= file_size // page_size)
        sound &= (first >= 0) & (first + LENGTH_BYTES <= last) & (last <= page_size)
        offsets = header_size + np.where(sound, pages, 0) * page_size + first
        sizes = last - first
        sound &= (offsets + sizes <= file_size) & (labels >= 0) & (labels < num_classes)
        if not sound.all():
            raise ValueError(f"row {int(sound.argmin())} cannot be")
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, sqlite3.Error) as error:
        raise UserError(
            f"{path} or its index is damaged ({error}); remove both and convert the images again"
        ) from error
    return Rows(labels.astype(np.int32), offsets, sizes)


def read_names(path: Path, count: int) -> list[str]:
    """The paths that the images of a shard had in the source, below the folder of their split.

    Raises:
        UserError: if the index cannot be read.
    """
    try:
        return [str(name) for (name,) in _select(path, _NAMES, count)]
    except sqlite3.Error as error:
        raise UserError(f"cannot read the index beside {path} ({error})") from error


def _measures(path: Path) -> tuple[int, int, int]:
    """The sizes in bytes of a file's header, of its pages, and of all of it."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if length > _HEADER_LIMIT:
            raise ValueError("it has no header")
        header = json.loads(file.read(length))
        sizes = header["header_size"], header["page_size"], os.fstat(file.fileno()).st_size
    if not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError("its header has no sizes")
    return sizes


def _select(path: Path, query: str, count: int) -> list[tuple]:
    """The rows of an index, at most one more than there should be. Nothing in it is executed, and nothing written."""
    index = quote(os.fsencode(path.absolute().with_name(path.stem + INDEX_ENDING)))
    with closing(sqlite3.connect(f"file:{index}?mode=ro&immutable=1", uri=True)) as database:
        database.execute("PRAGMA trusted_schema = OFF")
        kinds = database.execute("SELECT type FROM sqlite_master WHERE name = 'INDEXES'").fetchall()
        if kinds != [("table",)]:
            raise sqlite3.DatabaseError("it has no table of rows")
        return database.execute(query, (count + 1,)).fetchall()
