import json
from dataclasses import replace

import pytest

from mindvit.classes import Classes
from mindvit.data.mindrecord.manifest import FileChecksum, Manifest, Shard, read_manifest
from mindvit.errors import UserError

DONE = Shard("train-0", 3, FileChecksum(100, "aa"), FileChecksum(20, "bb"))
MANIFEST = Manifest(
    Classes(("cat", "d\udcffg"), ("Cat", "狗")), False, "cc", {"train": (DONE, Shard("train-1", 4)), "val": (DONE,)}
)


def test_a_written_manifest_is_read_back(tmp_path):
    MANIFEST.write(tmp_path)
    assert read_manifest(tmp_path) == MANIFEST
    assert not MANIFEST.is_done
    finished = MANIFEST.with_shard("train", 1, replace(DONE, name="train-1", count=4))
    assert finished.is_done
    assert finished.plan == MANIFEST.plan != MANIFEST


def at(*keys):
    def change(stored, value):
        for key in keys[:-1]:
            stored = stored[key]
        stored[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "value"),
    [
        (at("splits", "train", 0, "name"), "../../etc/passwd"),
        (at("splits", "train", 0, "name"), 5),
        (at("splits", "train", 0, "count"), 0),
        (at("splits", "train", 0, "count"), -1),
        (at("splits", "train", 0, "count"), True),
        (at("splits", "train", 0, "data"), {"num_bytes": "100", "sha256": "aa"}),
        (at("splits", "train", 0, "data"), [1]),
        (at("splits", "train"), []),
        (at("splits", "../val"), []),
        (at("splits", "all"), [{"name": "x", "count": 1, "data": None, "index": None}]),
        (at("splits"), {}),
        (at("splits"), None),
        (at("classes", "names"), ["Cat"]),
        (at("classes", "ids"), [1, 2]),
        (at("format"), "1"),
        (at("fingerprint"), None),
    ],
)
def test_invalid_content_is_refused(tmp_path, change, value):
    MANIFEST.write(tmp_path)
    path = tmp_path / "manifest.json"
    stored = json.loads(path.read_text())
    change(stored, value)
    path.write_text(json.dumps(stored))
    with pytest.raises(
        UserError, match=r"manifest\.json is corrupt \(.*\); run the conversion again with --overwrite$"
    ):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "5", "[" * 100_000])
def test_other_json_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json is corrupt"):
        read_manifest(tmp_path)


def test_bytes_that_are_not_utf_8_are_refused(tmp_path):
    (tmp_path / "manifest.json").write_bytes(b"\xff\xff")
    with pytest.raises(UserError, match=r"cannot read .*manifest\.json"):
        read_manifest(tmp_path)
