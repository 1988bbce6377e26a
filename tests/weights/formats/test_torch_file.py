import zipfile
from pathlib import Path

import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.weights.formats.read_arrays import read_arrays
from tests.weights.formats.pickles import complete_pickle, entries, plain, storage, tensor, write_legacy, write_zip

FILES = Path(__file__).parents[2] / "references/torch_files"
DATA = np.arange(6, dtype=np.float32)


@pytest.fixture(scope="module")
def expected():
    """Values by group and name, converted by PyTorch."""
    groups = {}
    with np.load(FILES / "expected.npz") as stored:
        for name, array in stored.items():
            group, name = name.split("/")
            groups.setdefault(group, {})[name] = array
    return groups


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("kinds", "kinds"),
        ("legacy", "kinds"),
        ("views", "views"),
        ("views_legacy", "views"),
        ("protocol4", "views"),
        ("nested", "weights"),
        ("nested_legacy", "weights"),
        ("parallel", "weights"),
    ],
)
def test_files_of_pytorch_are_read(expected, name, group):
    found = read_arrays(FILES / f"{name}.pth")
    wanted = expected[group]
    unsigned = {"uint16", "uint32", "uint64"} if name == "legacy" else set()  # the old format does not have them
    assert found.keys() == wanted.keys() - unsigned
    for key, array in found.items():
        np.testing.assert_array_equal(array, wanted[key], strict=True, err_msg=key)
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_tensors_that_shared_a_storage_are_copied():
    found = read_arrays(FILES / "views.pth")
    found["base"][:] = -1
    assert (found["tied"] == np.arange(24).reshape(4, 6)).all()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("settings", "settings.pth has more than tensors: it requires argparse.Namespace, which is never executed"),
        ("model", "it requires torch.nn.modules.linear.Linear, which is never executed; save only the weights with"),
        ("several", r"several.pth has tensors in several places \(decoder, encoder\)"),
        ("float8", "float8.pth has the unsupported data type float8_e4m3fn in weight; convert it to float32"),
    ],
)
def test_unsupported_content_is_reported(name, words):
    with pytest.raises(UserError, match=words):
        read_arrays(FILES / f"{name}.pth")


@pytest.mark.parametrize("name", ["views", "views_legacy"])
@pytest.mark.parametrize("end", [0.1, 0.5, 0.9, -1])
def test_a_truncated_file_is_reported(tmp_path, name, end):
    data = (FILES / f"{name}.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(data[: end if end < 0 else int(end * len(data))])
    with pytest.raises(UserError, match=r"w\.pth is corrupt or incomplete"):
        read_arrays(tmp_path / "w.pth")


def test_a_flipped_bit_in_an_archive_is_reported(tmp_path):
    data = bytearray((FILES / "views.pth").read_bytes())
    data[data.index(np.arange(24, dtype=np.float32).tobytes()) + 50] ^= 1
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(UserError, match=r"w\.pth is corrupt"):
        read_arrays(tmp_path / "w.pth")


def test_files_of_big_endian_machines_are_refused(tmp_path):
    write_zip(tmp_path / "w.pth", entries(a=tensor()), {"0": DATA.tobytes()}, byteorder=b"big")
    write_legacy(tmp_path / "old.pth", entries(a=tensor()), {"0": (6, DATA.tobytes())}, little_endian=False)
    for name in ("w.pth", "old.pth"):
        with pytest.raises(UserError, match=f"{name} was written on a big-endian machine"):
            read_arrays(tmp_path / name)


def test_a_pickle_of_another_program_is_not_loaded(tmp_path):
    (tmp_path / "w.pkl").write_bytes(complete_pickle(plain({"a": [1, 2]})))
    with pytest.raises(UserError, match=r"w\.pkl is a pickle that torch\.save did not write"):
        read_arrays(tmp_path / "w.pkl")


@pytest.mark.parametrize("count", [0, 5, 7, 2**62])
def test_a_storage_with_a_wrong_size_is_reported(tmp_path, count):
    content = entries(a=tensor(storage(numel=count)))
    write_zip(tmp_path / "w.pth", content, {"0": DATA.tobytes()})
    write_legacy(tmp_path / "old.pth", content, {"0": (6, DATA.tobytes())})
    write_legacy(tmp_path / "older.pth", entries(a=tensor()), {"0": (count, DATA.tobytes())})
    for name in ("w.pth", "old.pth", "older.pth"):
        with pytest.raises(UserError, match=f"{name} is corrupt"):
            read_arrays(tmp_path / name)


def test_a_view_of_a_storage_is_read_from_its_start(tmp_path):
    """Files of the old format can have such views; current versions of PyTorch do not write them."""
    view = plain(("1", 2, 3))
    content = entries(a=tensor(storage(view=view), shape=(3,), strides=(1,)))
    found = read_arrays(write_legacy(tmp_path / "w.pth", content, {"0": (6, DATA.tobytes())}))
    np.testing.assert_array_equal(found["a"], [2, 3, 4])


@pytest.mark.parametrize("storages", [{}, {"1": (6, DATA.tobytes())}])
def test_a_missing_storage_is_reported(tmp_path, storages):
    write_zip(tmp_path / "w.pth", entries(a=tensor()), {key: data for key, (_, data) in storages.items()})
    write_legacy(tmp_path / "old.pth", entries(a=tensor()), storages)
    for name in ("w.pth", "old.pth"):
        with pytest.raises(UserError, match=f"{name} is corrupt"):
            read_arrays(tmp_path / name)


def test_a_compressed_archive_is_refused(tmp_path):
    write_zip(tmp_path / "w.pth", entries(a=tensor()), {"0": DATA.tobytes()}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"w\.pth was compressed after torch\.save wrote it"):
        read_arrays(tmp_path / "w.pth")


@pytest.mark.parametrize("key", ["../../made", "/made", "..\\made"])
def test_entry_names_are_never_used_as_paths(tmp_path, key):
    folder = tmp_path / "a/b"
    folder.mkdir(parents=True)
    write_zip(folder / "w.pth", entries(a=tensor(storage(key=key))), {key: DATA.tobytes()})
    np.testing.assert_array_equal(read_arrays(folder / "w.pth")["a"], DATA.reshape(2, 3))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [folder / "w.pth"]
    write_zip(folder / "w.pth", entries(a=tensor(storage(key=key))), {"0": DATA.tobytes()})
    (tmp_path / "made").write_bytes(DATA.tobytes())
    with pytest.raises(UserError, match=r"w\.pth is corrupt"):
        read_arrays(folder / "w.pth")


def test_a_huge_declared_entry_is_not_allocated(tmp_path):
    path = write_zip(tmp_path / "w.pth", entries(a=tensor(storage(numel=10**9))), {"0": DATA.tobytes()})
    data = path.read_bytes()
    directory = data.rindex(b"PK\x01\x02")
    # The compressed and uncompressed sizes in the central directory.
    path.write_bytes(data[: directory + 20] + 2 * (4 * 10**9).to_bytes(4, "little") + data[directory + 28 :])
    with pytest.raises(UserError, match=r"w\.pth is corrupt"):
        read_arrays(path)
