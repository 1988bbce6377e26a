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


def test_offsets_and_strides_are_applied(path):
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
def test_a_tensor_that_exceeds_its_storage_is_refused(path, beyond):
    with pytest.raises(ValueError, match="exceeds its storage"):
        make(path, a=beyond)


def test_an_untyped_storage_is_read_with_the_data_type_of_the_tensor(path):
    storage = Storage("uint8", "0", 6)
    values = np.array([1, 500, 65535], "<u2")
    found = make_arrays(path, {"a": TensorView(storage, 1, (2,), (1,), "uint16")}, lambda _: values.tobytes())
    np.testing.assert_array_equal(found["a"], np.array([500, 65535], np.uint16), strict=True)


@pytest.mark.parametrize("shape", [(2**40,), (2**20, 2**20), (5000, 5000)])
def test_a_huge_expanded_tensor_is_refused(path, shape):
    with pytest.raises(UserError, match=r"w\.pth has 100 bytes but declares tensors of \d+ bytes"):
        make(path, a=view(0, shape, (0,) * len(shape)))


def test_many_large_tensors_of_one_storage_are_refused(path):
    views = {str(index): view(0, (1000, 1000), (0, 0)) for index in range(17)}
    with pytest.raises(UserError, match="declares tensors of 68000000 bytes"):
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
