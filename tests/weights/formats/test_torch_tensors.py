from pathlib import Path

import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.weights.formats.torch_pickle import Storage, TensorView
from mindvit.weights.formats.torch_tensors import make_arrays

DATA = np.arange(12, dtype=np.float32)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "w.pth").write_bytes(bytes(100))
    return tmp_path / "w.pth"


def view(offset, shape, strides, dtype="float32", start=0):
    return TensorView(Storage("float32", "0", 12, start), offset, shape, strides, dtype)


def make(path: Path, **views):
    return make_arrays(path, views, lambda _: DATA.tobytes())


def test_numbers_are_taken_at_offsets_and_strides(path):
    found = make(
        path, a=view(1, (2, 3), (4, 1)), b=view(11, (), ()), c=view(2, (2,), (3,), start=4), d=view(0, (2, 0), (1, 1))
    )
    np.testing.assert_array_equal(found["a"], [[1, 2, 3], [5, 6, 7]])
    np.testing.assert_array_equal(found["b"], 11)
    np.testing.assert_array_equal(found["c"], [6, 9])
    assert found["d"].shape == (2, 0)
    assert list(found) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "beyond",
    [
        view(12, (), ()),
        view(2**62, (), ()),
        view(0, (13,), (1,)),
        view(1, (12,), (1,)),
        view(0, (2, 2), (11, 1)),
        view(0, (2,), (2**62,)),
        view(0, (2,), (2**80,)),
        view(0, (12,), (1,), start=1),
        view(0, (7,), (1,), dtype="float64"),
    ],
)
def test_nothing_beyond_the_storage_is_read(path, beyond):
    with pytest.raises(ValueError, match="beyond its storage"):
        make(path, a=beyond)


def test_a_storage_without_a_kind_is_read_as_the_tensor_says(path):
    storage = Storage("uint8", "0", 6)
    values = np.array([1, 500, 65535], "<u2")
    found = make_arrays(path, {"a": TensorView(storage, 1, (2,), (1,), "uint16")}, lambda _: values.tobytes())
    np.testing.assert_array_equal(found["a"], np.array([500, 65535], np.uint16), strict=True)


@pytest.mark.parametrize("shape", [(2**40,), (2**20, 2**20), (5000, 5000)])
def test_a_number_that_is_repeated_without_end_is_not_copied(path, shape):
    with pytest.raises(UserError, match=r"w\.pth has 100 bytes and says that it holds tensors of \d+"):
        make(path, a=view(0, shape, (0,) * len(shape)))


def test_a_storage_that_many_share_is_not_copied_without_end(path):
    views = {str(index): view(0, (1000, 1000), (0, 0)) for index in range(17)}
    with pytest.raises(UserError, match="holds tensors of 68000000"):
        make(path, **views)


def test_each_storage_is_read_once(path):
    read = []

    def read_storage(storage):
        read.append(storage.key)
        return DATA.tobytes()

    views = {
        name: TensorView(Storage("float32", key, 12), 0, (12,), (1,), "float32")
        for name, key in zip("abcd", "0101", strict=True)
    }
    assert list(make_arrays(path, views, read_storage)) == list("abcd")
    assert read == ["0", "1"]
