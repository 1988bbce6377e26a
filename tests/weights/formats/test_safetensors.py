import json
import struct

import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

from mindvit.errors import UserError
from mindvit.weights.formats.read_arrays import read_arrays
from mindvit.weights.formats.safetensors import write_safetensors

DTYPES = [
    "bool",
    *(f"{sign}int{bits}" for sign in ("u", "") for bits in (8, 16, 32, 64)),
    "float16",
    "float32",
    "float64",
]


@pytest.fixture
def arrays(rng):
    given = {dtype: (100 * rng.random((3, 4))).astype(dtype) for dtype in DTYPES}
    return given | {"scalar": np.array(2.5, np.float32), "empty": np.zeros((0, 3), np.float32), "Katze 狗": np.ones(1)}


def write_by_hand(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_files_of_the_safetensors_package_are_read(tmp_path, arrays):
    save_file(arrays, tmp_path / "w.safetensors")
    found = read_arrays(tmp_path / "w.safetensors")
    assert found.keys() == arrays.keys()
    for name, array in found.items():
        expected = arrays[name].astype(np.float32) if arrays[name].dtype.kind == "f" else arrays[name]
        assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(array, expected)


def test_bfloat16_is_read_exactly(tmp_path):
    header = {
        "a": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]},
        "b": {"dtype": "BF16", "shape": [], "data_offsets": [8, 10]},
    }
    bits = np.array([0x3F80, 0xC020, 0x0000, 0x42C8, 0x40E8], "<u2")  # 1, -2.5, 0, 100, 7.25
    found = read_arrays(write_by_hand(tmp_path / "w", header, bits.tobytes()))
    assert found["a"].dtype == found["b"].dtype == np.float32
    np.testing.assert_array_equal(found["a"], [[1, -2.5], [0, 100]])
    assert found["b"].shape == ()
    assert found["b"] == 7.25


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "C64"])
def test_unsupported_data_types_are_reported(tmp_path, dtype):
    size = 8 if dtype == "C64" else 1
    header = {"a": {"dtype": dtype, "shape": [2], "data_offsets": [0, 2 * size]}}
    with pytest.raises(UserError, match=f"has the unsupported data type {dtype} in a; convert it to float32"):
        read_arrays(write_by_hand(tmp_path / "w", header, bytes(2 * size)))


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(7)),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(9)),
        ({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}}, bytes(8)),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, bytes(8)),
        ({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, bytes(8)),
        (b'{"a": {"dtype": "F32"', b""),
        (b'{"a":' * 100_000, b""),
    ],
)
def test_an_invalid_header_is_reported(tmp_path, header, data):
    with pytest.raises(UserError, match="w is corrupt or incomplete"):
        read_arrays(write_by_hand(tmp_path / "w", header, data))


@pytest.mark.parametrize("end", [9, 40, -1])
def test_a_truncated_file_is_reported(tmp_path, arrays, end):
    save_file(arrays, tmp_path / "w")
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes()[:end])
    with pytest.raises(UserError, match="w is corrupt or incomplete"):
        read_arrays(tmp_path / "w")


def test_the_safetensors_package_reads_written_files(tmp_path, arrays):
    texts = {"format": "pt", "name": "Katze 狗"}
    strided = {"transposed": arrays["float32"].T, "big_endian": np.array([1.5, 2], ">f4")}
    write_safetensors(tmp_path / "w", arrays | strided, texts)
    found = load_file(tmp_path / "w")
    assert found.keys() == (arrays | strided).keys()
    for name, expected in (arrays | strided).items():
        assert found[name].dtype == expected.dtype.newbyteorder("=")
        assert found[name].shape == expected.shape
        np.testing.assert_array_equal(found[name], expected)
    with safetensors.safe_open(tmp_path / "w", "np") as opened:
        assert opened.metadata() == texts


def test_arrays_are_aligned(tmp_path, arrays):
    write_safetensors(tmp_path / "w", arrays, {"a": "odd"})
    data = (tmp_path / "w").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert length % 8 == 0
    for name, array in arrays.items():
        assert header[name]["data_offsets"][0] % array.dtype.itemsize == 0


def test_the_same_content_gives_the_same_bytes(tmp_path, arrays):
    texts = {str(index): "text" for index in range(20)}
    write_safetensors(tmp_path / "a", arrays, texts)
    write_safetensors(tmp_path / "b", dict(reversed(arrays.items())), dict(reversed(texts.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_old_file_is_kept_if_writing_fails(tmp_path, arrays):
    write_safetensors(tmp_path / "w", arrays, {})
    before = (tmp_path / "w").read_bytes()
    with pytest.raises(ValueError, match="text has the data type <U1, which safetensors does not support"):
        write_safetensors(tmp_path / "w", arrays | {"text": np.array("x")}, {})
    assert (tmp_path / "w").read_bytes() == before
    with pytest.raises(UserError, match="cannot write"):
        write_safetensors(tmp_path / "w" / "x", arrays, {})
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
