"""Reading shards and index files that are corrupt or crafted."""

import json
import shutil
import sqlite3

import pytest

from mindvit.data.mindrecord.index import read_names, read_rows
from mindvit.errors import UserError


@pytest.fixture
def shard(shards, tmp_path):
    for ending in (".mindrecord", ".mindrecord.db"):
        shutil.copy(shards / f"train/train-00001-of-00003{ending}", tmp_path / f"x{ending}")
    return tmp_path / "x.mindrecord"


def execute(shard, *statements):
    database = sqlite3.connect(f"{shard}.db")
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


def test_a_valid_shard_is_read(shard):
    rows = read_rows(shard, 4, 2)
    assert rows.labels.tolist() == [0, 0, 1, 1]
    for offset, size in zip(rows.offsets, rows.sizes, strict=True):
        assert int.from_bytes(shard.read_bytes()[offset : offset + 8], "little") == size - 8
    assert read_names(shard, 4) == ["cat/rotated.JPG", "cat/z.gif", "dog/0.png", "dog/1.jpg"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE INDEXES SET PAGE_ID_BLOB = 9223372036854775807 WHERE ROW_ID = 1",
        "UPDATE INDEXES SET PAGE_ID_BLOB = -1 WHERE ROW_ID = 1",
        "UPDATE INDEXES SET PAGE_ID_BLOB = 1 WHERE ROW_ID = 1",
        "UPDATE INDEXES SET PAGE_OFFSET_BLOB = -2000 WHERE ROW_ID = 1",
        "UPDATE INDEXES SET PAGE_OFFSET_BLOB = PAGE_OFFSET_BLOB_END - 7 WHERE ROW_ID = 1",
        "UPDATE INDEXES SET PAGE_OFFSET_BLOB_END = 9223372036854775807 WHERE ROW_ID = 1",
        "UPDATE INDEXES SET label_0 = 2 WHERE ROW_ID = 1",
        "UPDATE INDEXES SET label_0 = -1 WHERE ROW_ID = 1",
        "UPDATE INDEXES SET ROW_ID = 7 WHERE ROW_ID = 1",
    ],
)
def test_invalid_offsets_and_labels_are_refused(shard, statement):
    execute(shard, statement)
    with pytest.raises(UserError, match=r"x\.mindrecord or its index is corrupt \(row \d is invalid\)"):
        read_rows(shard, 4, 2)


@pytest.mark.parametrize("value", ["NULL", "'text'", "X'00'", "1e300"])
def test_values_that_are_not_numbers_are_refused(shard, value):
    execute(shard, "ALTER TABLE INDEXES RENAME TO OLD", "CREATE TABLE INDEXES AS SELECT * FROM OLD", "DROP TABLE OLD")
    execute(shard, f"UPDATE INDEXES SET PAGE_OFFSET_BLOB = {value} WHERE ROW_ID = 1")
    with pytest.raises(UserError, match=r"x\.mindrecord or its index is corrupt"):
        read_rows(shard, 4, 2)


def test_a_view_instead_of_a_table_is_not_executed(shard):
    execute(
        shard,
        "ALTER TABLE INDEXES RENAME TO OLD",
        "CREATE VIEW INDEXES AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
        "SELECT x AS ROW_ID, x AS PAGE_ID_BLOB, x AS PAGE_OFFSET_BLOB, x AS PAGE_OFFSET_BLOB_END, x AS label_0 FROM n",
    )
    with pytest.raises(UserError, match="the table INDEXES is missing"):
        read_rows(shard, 4, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"header_size": -1},
        {"page_size": 0},
        {"page_size": "8388608"},
        {"header_size": 2**40},
    ],
)
def test_a_header_with_invalid_sizes_is_refused(shard, change):
    content = shard.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.dumps({**json.loads(content[8 : 8 + length]), **change}).encode()
    shard.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + len(header) :])
    with pytest.raises(UserError, match=r"x\.mindrecord or its index is corrupt"):
        read_rows(shard, 4, 2)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 100, b"\x02" + b"\0" * 7 + b"[]" + b"\0" * 90])
def test_files_in_another_format_are_refused(shard, content):
    shard.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.mindrecord or its index is corrupt"):
        read_rows(shard, 4, 2)


@pytest.mark.parametrize(("count", "found"), [(3, "more"), (5, "4")])
def test_another_number_of_images_is_refused(shard, count, found):
    with pytest.raises(UserError, match=rf"has {found} images, but the manifest says {count}"):
        read_rows(shard, count, 2)


def test_an_index_that_is_not_a_database_is_refused(shard):
    index = shard.with_name("x.mindrecord.db")
    index.write_bytes(b"hello" * 1000)
    with pytest.raises(UserError, match=r"index is corrupt \(file is not a database\)"):
        read_rows(shard, 4, 2)
    with pytest.raises(UserError, match=r"cannot read the index of .*x\.mindrecord"):
        read_names(shard, 4)


def test_a_missing_index_is_not_created(shard):
    index = shard.with_name("x.mindrecord.db")
    index.unlink()
    with pytest.raises(UserError, match="unable to open database file"):
        read_rows(shard, 4, 2)
    assert not index.exists()
