"""MindRecord shards, their index files and their manifest."""

import json
import os
import sqlite3
from contextlib import closing, suppress

import numpy as np
from PIL import Image

from mindvit.data.mindrecord.converter import MindRecordSettings, convert_to_mindrecord
from mindvit.data.mindrecord.reader import open_mindrecord
from mindvit.data.mindrecord.verification import verify
from tests.fuzz.mutations import mutated_bytes, mutated_json
from tests.fuzz.target import FileTarget

_MAX_IMAGES = 8
_COLUMNS = ("ROW_ID", "PAGE_ID_BLOB", "PAGE_OFFSET_BLOB", "PAGE_OFFSET_BLOB_END", "label_0", "file_0")
_VALUES = (0, 1, -1, 2**31, 2**63 - 1, -(2**63), 1.5, "x", "1", b"\0", None, "\x1b[2J", 10**6)
_SCHEMAS = (
    "ALTER TABLE INDEXES RENAME TO OTHERS; CREATE VIEW INDEXES AS SELECT * FROM OTHERS",
    "DROP TABLE INDEXES",
    "DELETE FROM INDEXES",
    "INSERT INTO INDEXES SELECT * FROM INDEXES",
    "ALTER TABLE INDEXES ADD COLUMN x DEFAULT 3",
    "CREATE TABLE x(a CHECK(load_extension('/tmp/x')))",
)


def _make_seeds(folder):
    rng, images = np.random.default_rng(0), folder.parent / "images"
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (images / split / name).mkdir(parents=True)
            pixels = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(images / split / name / "a.png")
    (folder / "data").mkdir()
    convert_to_mindrecord(MindRecordSettings(output=str(folder / "data" / "data"), path=str(images), num_workers=1))


def _copy(source, target):
    """Copies a folder, with the holes of the sparse shard files: each has a page of 32 MB."""
    for path in sorted(source.rglob("*")):
        copied = target / path.relative_to(source)
        if path.is_dir():
            copied.mkdir(parents=True, exist_ok=True)
            continue
        with open(path, "rb") as old, open(copied, "wb") as new:
            for start, length in _extents(old):
                new.seek(start)
                new.write(os.pread(old.fileno(), length, start))
            new.truncate(path.stat().st_size)


def _extents(file):
    """The start and the length of all parts of a file that are not holes."""
    end, position = os.fstat(file.fileno()).st_size, 0
    while position < end:
        try:
            start = os.lseek(file.fileno(), position, os.SEEK_DATA)
        except OSError:
            return
        position = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        yield start, position - start


def _mutate(folder, rng):
    data = folder / "data"
    kind = rng.choice(("manifest", "manifest", "data", "index", "rows", "rows", "schema"))
    split = rng.choice(("train", "val"))
    shard = next((data / split).glob("*.mindrecord"))
    index = shard.with_name(shard.name + ".db")
    manifest = json.loads((data / "manifest.json").read_text())
    if kind == "manifest":
        manifest = mutated_json(manifest, rng)
    elif kind == "data":
        with open(shard, "r+b") as file:
            start, length = rng.choice(list(_extents(file)))
            changed = mutated_bytes(os.pread(file.fileno(), min(length, 4096), start), rng)
            os.pwrite(file.fileno(), changed, start)
    elif kind == "index":
        index.write_bytes(mutated_bytes(index.read_bytes(), rng))
    else:
        with closing(sqlite3.connect(index)) as database, suppress(sqlite3.Error):
            if kind == "rows":
                database.execute(f"UPDATE INDEXES SET {rng.choice(_COLUMNS)} = ?", (rng.choice(_VALUES),))
            else:
                database.executescript(rng.choice(_SCHEMAS))
            database.commit()
    if kind != "manifest" and rng.random() < 0.9:  # Otherwise the other size is all that is found.
        for path, key in ((shard, "data"), (index, "index")):
            manifest["splits"][split][0][key]["num_bytes"] = path.stat().st_size
    (data / "manifest.json").write_text(json.dumps(manifest))


def _check(folder):
    source = open_mindrecord(folder / "data")
    for split in {id(split): split for split in (source.train, source.val) if split is not None}.values():
        for index in range(min(len(split), _MAX_IMAGES)):
            assert isinstance(split.describe(index), str)
            assert split.read(index).mode == "RGB"
        assert 0 <= split.labels.min() <= split.labels.max() < len(split.classes)
    verify(folder / "data", 1)


MINDRECORD = FileTarget("mindrecord", _check, _make_seeds, _mutate, copy=_copy, blocks=1)
