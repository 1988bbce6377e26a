import zipfile

import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.weights.formats.read_arrays import read_arrays


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_by_name(tmp_path, rng, save):
    given = {
        "Transformer/encoderblock_0/kernel": rng.standard_normal((3, 4)).astype(np.float32),
        "half": np.array([0.5, 2], np.float16),
        "big_endian": np.array([1.5, 3], ">f8"),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "scalar": np.array(7.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "mask": np.array([True, False]),
    }
    save(tmp_path / "w.npz", **given)
    found = read_arrays(tmp_path / "w.npz")
    assert list(found) == list(given)
    for name, array in found.items():
        assert array.dtype == (np.float32 if given[name].dtype.kind == "f" else given[name].dtype)
        np.testing.assert_array_equal(array, given[name], strict=False)
        assert array.shape == given[name].shape


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


def test_python_objects_are_reported_and_never_loaded(tmp_path):
    made = tmp_path / "made"
    np.savez(tmp_path / "w.npz", good=np.zeros(2), bad=np.array([Evil(made)], object))
    with pytest.raises(UserError, match=r"w\.npz has Python objects in bad, which are never loaded"):
        read_arrays(tmp_path / "w.npz")
    assert not made.exists()


@pytest.mark.parametrize(
    "array", [np.array("text"), np.zeros(2, [("a", "f4")]), np.array(["2020-01-01"], "M8[D]"), np.array(1j)]
)
def test_arrays_of_other_data_types_are_reported(tmp_path, array):
    np.savez(tmp_path / "w.npz", good=np.zeros(2), bad=array)
    with pytest.raises(UserError, match=r"w\.npz has the data type .* in bad, which is not for weights"):
        read_arrays(tmp_path / "w.npz")


def npy(shape, data, dtype="<f4"):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


@pytest.mark.parametrize("shape", [(10**12,), (2**40, 2**40), (3,), (-2,), (2, 2)])
def test_a_header_with_a_wrong_size_is_reported_before_memory_is_allocated(tmp_path, shape, monkeypatch):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("a.npy", npy(shape, bytes(8)))
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(UserError, match=r"w\.npz is corrupt"):
        read_arrays(tmp_path / "w.npz")


def test_a_decompression_bomb_is_reported_before_it_is_unpacked(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy((2**25,), bytes(2**27)))
    assert (tmp_path / "w.npz").stat().st_size < 2**20
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(UserError, match=r"w\.npz has \d+ bytes but declares tensors of 13421\d+ bytes"):
        read_arrays(tmp_path / "w.npz")


def test_a_truncated_archive_is_reported(tmp_path, rng):
    np.savez(tmp_path / "w.npz", a=rng.standard_normal(1000))
    data = (tmp_path / "w.npz").read_bytes()
    for end in (20, 500, len(data) - 30, len(data) - 1):
        (tmp_path / "w.npz").write_bytes(data[:end])
        with pytest.raises(UserError, match=r"w\.npz is corrupt or incomplete"):
            read_arrays(tmp_path / "w.npz")
