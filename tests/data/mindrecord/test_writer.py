import hashlib
import json
import os
from collections import namedtuple
from dataclasses import replace

import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore.mindrecord import FileWriter

from mindvit.data.mindrecord import writer
from mindvit.data.mindrecord.listing import ImageFiles
from mindvit.data.mindrecord.manifest import Shard
from mindvit.data.mindrecord.writer import write_shard
from mindvit.errors import UserError


@pytest.fixture
def files(tmp_path):
    """Writes files with the given contents and returns them as the image files of a shard."""

    def make(*contents):
        root = tmp_path / "in"
        root.mkdir(exist_ok=True)
        for number, content in enumerate(contents):
            (root / f"{number}.jpg").write_bytes(content)
        names = [f"{number}.jpg" for number in range(len(contents))]
        sizes = np.array([len(content) for content in contents], np.int64)
        return ImageFiles(root, names, np.arange(len(contents), dtype=np.int32), sizes)

    return make


def write(tmp_path, images, on_progress=lambda count: None):
    (tmp_path / "out").mkdir(exist_ok=True)
    return write_shard(tmp_path / "out", Shard("x", len(images)), images, on_progress)


def header(path):
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def assert_no_files(tmp_path):
    assert list((tmp_path / "out").iterdir()) == []


def test_written_files_have_valid_checksums_and_permissions(tmp_path, files):
    counted = []
    old = os.umask(0o027)
    try:
        shard = write(tmp_path, files(b"one", b"two", b"three"), counted.append)
    finally:
        os.umask(old)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["x.mindrecord", "x.mindrecord.db"]
    assert shard.find_error(out) is None
    for path, checksum in shard.files(out).items():
        content = path.read_bytes()
        assert (checksum.num_bytes, checksum.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert path.stat().st_mode & 0o777 == 0o640
    assert sum(counted) == 3


def test_the_page_size_fits_the_largest_image(tmp_path, files):
    contents = [b"a", b"b" * (2**23 - 8), b"c"]
    write(tmp_path, files(*contents))
    path = tmp_path / "out/x.mindrecord"
    assert (header(path)["page_size"], header(path)["header_size"]) == (2**23, 2**20)
    contents[1] += b"b"
    write(tmp_path, files(*contents))
    assert header(path)["page_size"] == 2**24
    rows = ds.MindDataset([str(path)], ["data"], shuffle=False).create_tuple_iterator(num_epochs=1, output_numpy=True)
    assert [row.tobytes() for (row,) in rows] == contents


def test_an_image_that_is_too_large_for_a_page_is_reported(tmp_path, files):
    images = files(b"one", b"two")
    images.sizes[1] = 2**28 - 7
    with pytest.raises(UserError, match=r"a MindRecord file cannot store the 268,435,449 bytes of .*1\.jpg$"):
        write(tmp_path, images)
    assert_no_files(tmp_path)


def test_many_bytes_get_larger_pages_to_limit_the_header_size(files):
    images = files(b"one")
    many = replace(images, sizes=np.full(20_000, 10**6, np.int64))
    assert writer._page_bytes(many) == 2**24, "20 GB on at most 2,000 pages"


def test_an_image_that_changed_after_the_listing_is_reported(tmp_path, files):
    images = files(b"one", b"two")
    (tmp_path / "in/1.jpg").write_bytes(b"twice")
    with pytest.raises(UserError, match=r"the image .*1\.jpg changed during the conversion; run the conversion again"):
        write(tmp_path, images)
    (tmp_path / "in/1.jpg").unlink()
    with pytest.raises(UserError, match=r"cannot read the image .*1\.jpg: No such file"):
        write(tmp_path, images)
    assert_no_files(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda row: {**row, "data": row["data"][:-1] + b"x"},
        lambda row: {**row, "label": row["label"] + 1},
        lambda row: {**row, "file": row["file"] + "x"},
        None,
    ],
    ids=["bytes", "label", "name", "missing row"],
)
def test_a_difference_when_reading_back_is_refused(tmp_path, files, monkeypatch, change):
    write_raw_data = FileWriter.write_raw_data

    def write_other(self, rows):
        write_raw_data(self, [*rows[:-1], *([change(rows[-1])] if change else [])])

    monkeypatch.setattr(FileWriter, "write_raw_data", write_other)
    found = 2 if change else 1
    words = rf"content read back from .*out/x\.mindrecord differs from the 2 images written \({found} were found\)"
    with pytest.raises(UserError, match=words):
        write(tmp_path, files(b"one", b"two"))
    assert_no_files(tmp_path)


def test_a_full_disk_is_reported(tmp_path, files, monkeypatch):
    def fail(self, rows):
        raise RuntimeError("\nException thrown.\n----\n[ERROR] The page is full.\n----\n- C++ Call Stack:")

    monkeypatch.setattr(FileWriter, "write_raw_data", fail)
    with pytest.raises(UserError, match=r"^cannot write .*out/x\.mindrecord: The page is full\.$"):
        write(tmp_path, files(b"one"))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda folder: usage(2**30, 2**30 - 2**20, 2**20))
    with pytest.raises(UserError, match=r"^cannot write .*x\.mindrecord: the disk is full; free some space and run"):
        write(tmp_path, files(b"one"))
    assert_no_files(tmp_path)
