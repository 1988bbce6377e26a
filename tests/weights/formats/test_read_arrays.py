import builtins
import os
import zipfile

import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.weights.formats import reading
from mindvit.weights.formats.read_arrays import read_arrays
from tests.weights.formats.pickles import entries, tensor, write_legacy, write_zip

DATA = np.arange(6, dtype=np.float32)


def test_the_format_is_known_by_the_content_whatever_the_name(tmp_path):
    path = tmp_path / "w.ckpt"
    np.savez(tmp_path / "w.npz", a=DATA.reshape(2, 3))
    contents = [(tmp_path / "w.npz").read_bytes()]
    contents.append(write_zip(path, entries(a=tensor()), {"0": DATA.tobytes()}).read_bytes())
    contents.append(write_legacy(path, entries(a=tensor()), {"0": (6, DATA.tobytes())}).read_bytes())
    reading_of = b'{"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}'
    contents.append(len(reading_of).to_bytes(8, "little") + reading_of + DATA.tobytes())
    for content in contents:
        path.write_bytes(content)
        found = read_arrays(path)
        assert list(found) == ["a"]
        np.testing.assert_array_equal(found["a"], DATA.reshape(2, 3), strict=True)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*w\.pth: No such file"):
        read_arrays(tmp_path / "w.pth")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(UserError, match="is a folder; name a file of weights in it"):
        read_arrays(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe is a device or a pipe"):
        read_arrays(tmp_path / "pipe")


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "w").touch()
    with pytest.raises(UserError, match="w is empty; get it anew"):
        read_arrays(tmp_path / "w")


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "w").write_bytes(b"x")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(UserError, match=r"cannot read .*w: Permission denied"):
        read_arrays(tmp_path / "w")


def test_a_lack_of_memory_is_told_in_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "w").write_bytes(b"{}")

    def fail(_):
        raise MemoryError

    monkeypatch.setattr(reading, "read_index", fail)
    with pytest.raises(UserError, match=r"not enough memory for .*w"):
        read_arrays(tmp_path / "w")


@pytest.mark.parametrize("content", [b"x", b"\x89HDF\r\n\x1a\n", b"#!/bin/sh\n", b"GGUF\x03\0\0\0", b"\x80\x09"])
def test_a_file_of_no_known_format_is_told_what_is_known(tmp_path, content):
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(
        UserError, match=r"w is in no format that is known here; give MindSpore's \.ckpt, NumPy's \.npz"
    ):
        read_arrays(tmp_path / "w")


@pytest.mark.parametrize("names", [["a.txt"], ["a.npy", "b.txt"], ["a/data.pkl", "b/data.pkl"], ["data.pkl"], []])
def test_another_zip_archive_is_told_in_a_sentence(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "w", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    words = "w is a zip archive with neither" if names else "w is in no format"
    with pytest.raises(UserError, match=words):
        read_arrays(tmp_path / "w")


def test_safetensors_of_nothing_hold_no_tensors(tmp_path):
    (tmp_path / "w").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(UserError, match="w holds no tensors"):
        read_arrays(tmp_path / "w")
