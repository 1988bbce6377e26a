import builtins
import os
import zipfile

import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.weights.formats.read_arrays import read_arrays
from tests.weights.formats.pickles import entries, tensor, write_legacy, write_zip

DATA = np.arange(6, dtype=np.float32)


def test_the_content_determines_the_format(tmp_path):
    path = tmp_path / "w.ckpt"
    np.savez(tmp_path / "w.npz", a=DATA.reshape(2, 3))
    contents = [(tmp_path / "w.npz").read_bytes()]
    contents.append(write_zip(path, entries(a=tensor()), {"0": DATA.tobytes()}).read_bytes())
    contents.append(write_legacy(path, entries(a=tensor()), {"0": (6, DATA.tobytes())}).read_bytes())
    header = b'{"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}'
    contents.append(len(header).to_bytes(8, "little") + header + DATA.tobytes())
    for content in contents:
        path.write_bytes(content)
        found = read_arrays(path)
        assert list(found) == ["a"]
        np.testing.assert_array_equal(found["a"], DATA.reshape(2, 3), strict=True)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*w\.pth: No such file"):
        read_arrays(tmp_path / "w.pth")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="is a folder; choose a weights file in it"):
        read_arrays(tmp_path)


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe is a device or a pipe"):
        read_arrays(tmp_path / "pipe")


def test_an_empty_file_is_reported(tmp_path):
    (tmp_path / "w").touch()
    with pytest.raises(UserError, match="w is empty; download it again"):
        read_arrays(tmp_path / "w")


def test_a_file_without_read_permission_is_reported(tmp_path, monkeypatch):
    (tmp_path / "w").write_bytes(b"x")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(UserError, match=r"cannot read .*w: Permission denied"):
        read_arrays(tmp_path / "w")


def test_a_lack_of_memory_is_reported(tmp_path, monkeypatch):
    (tmp_path / "w").write_bytes(b"{}")

    def fail(_):
        raise MemoryError

    monkeypatch.setattr("mindvit.weights.formats.read_arrays.read_index", fail)
    with pytest.raises(UserError, match=r"not enough memory for .*w"):
        read_arrays(tmp_path / "w")


@pytest.mark.parametrize("content", [b"x", b"\x89HDF\r\n\x1a\n", b"#!/bin/sh\n", b"GGUF\x03\0\0\0", b"\x80\x09"])
def test_an_unknown_format_is_reported_with_the_known_ones(tmp_path, content):
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(UserError, match=r"w has an unknown format; choose MindSpore's \.ckpt, NumPy's \.npz"):
        read_arrays(tmp_path / "w")


@pytest.mark.parametrize("names", [["a.txt"], ["a.npy", "b.txt"], ["a/data.pkl", "b/data.pkl"], ["data.pkl"], []])
def test_another_zip_archive_is_reported(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "w", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    words = "w is a zip archive without NumPy arrays" if names else "w has an unknown format"
    with pytest.raises(UserError, match=words):
        read_arrays(tmp_path / "w")


def test_a_safetensors_file_without_tensors_is_reported(tmp_path):
    (tmp_path / "w").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(UserError, match="w has no tensors"):
        read_arrays(tmp_path / "w")
