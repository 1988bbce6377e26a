"""Converts the values of arrays to float32, and checks that they are finite."""

from pathlib import Path

import numpy as np

from mindvit.errors import UserError

_SHOWN = 3


def as_float32(array: np.ndarray) -> np.ndarray:
    """Returns the array contiguous and in native byte order; floating point as float32, other data types unchanged.

    float64 is rounded; values beyond 3.4e38 become infinite, which ``check_finite`` reports.
    """
    dtype = np.dtype(np.float32) if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):
        return array.astype(dtype, order="C", copy=False)


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Converts bfloat16 bit patterns, uint16 of any shape, to float32: a bfloat16 is the upper half of a float32."""
    wide = bits.astype(np.uint32, order="C")
    wide <<= np.uint32(16)
    return wide.view(np.float32)


def check_finite(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Checks that all values are finite.

    Args:
        arrays: tensors by name.
        path: the file, for the message.

    Raises:
        UserError: if there is NaN or infinity; the message names the first such tensors, and gives the number of such
            tensors and values.
    """
    bad = {name: array for name, array in arrays.items() if not np.isfinite(array).all()}
    if bad:
        shown = [
            f"{name} ({np.count_nonzero(~np.isfinite(array)):,} of {array.size:,} values)"
            for name, array in list(bad.items())[:_SHOWN]
        ]
        named = ", ".join(shown) + (f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else "")
        raise UserError(
            f"{path} has NaN or infinity in {len(bad)} of {len(arrays)} tensors: {named}; "
            "the training diverged, use an earlier checkpoint"
        )
