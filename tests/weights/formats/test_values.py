from pathlib import Path

import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.weights.formats.values import as_float32, check_finite, widen_bfloat16


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8", "longdouble"])
def test_floating_point_becomes_float32(dtype):
    found = as_float32(np.array([[1.5, -2.25], [0, 1000]], dtype))
    assert found.dtype == np.float32
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, [[1.5, -2.25], [0, 1000]])


@pytest.mark.parametrize("dtype", ["<i8", ">i8", "u1", "?"])
def test_other_data_types_are_kept_in_native_byte_order(dtype):
    found = as_float32(np.array([0, 1], dtype))
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, [0, 1])


def test_arrays_become_contiguous_and_keep_their_shape():
    assert as_float32(np.arange(6, dtype=np.float32).reshape(2, 3).T).flags.c_contiguous
    assert as_float32(np.array(3.0)).shape == ()


def test_values_beyond_float32_become_infinite_without_a_warning(recwarn):
    assert np.isinf(as_float32(np.array([1e300]))).all()
    assert not recwarn


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -2.5, 3.3895314e38, 1e-40, np.inf, -np.inf])
def test_bfloat16_is_widened_exactly(value):
    exact = np.array(value, np.float32).view(np.uint32) >> np.uint32(16)
    found = widen_bfloat16(np.array(exact, np.uint16))
    assert found.shape == ()
    assert found.tobytes() == (np.array(exact, np.uint32) * np.uint32(65536)).astype(np.uint32).tobytes()
    assert found == pytest.approx(value, rel=2**-8, abs=1e-41 if value else 0)


def test_nan_of_bfloat16_stays_nan():
    assert np.isnan(widen_bfloat16(np.array([0x7FC0, 0xFFC1], np.uint16))).all()


def test_tensors_with_nan_or_infinity_are_reported_and_counted():
    good = {"a": np.zeros(3, np.float32), "n": np.array([1, 2])}
    check_finite(good, Path("w.npz"))
    bad = {
        f"b{index}": np.array([0, value], np.float32) for index, value in enumerate((np.nan, np.inf, -np.inf, np.nan))
    }
    with pytest.raises(
        UserError,
        match=r"w\.npz has NaN or infinity in 4 of 6 tensors: b0 \(1 of 2 values\), b1 .*, b2 .* and 1 more; .*earlier",
    ):
        check_finite(good | bad, Path("w.npz"))
    with pytest.raises(UserError, match=r"in 1 of 3 tensors: b1 \(1 of 2 values\);"):
        check_finite(good | {"b1": bad["b1"]}, Path("w.npz"))
