"""The numbers in arrays that were read: their precision, and whether they are numbers at all."""

from pathlib import Path

import numpy as np

from mindvit.errors import UserError

_SHOWN = 3


def as_float32(array: np.ndarray) -> np.ndarray:
    """The array contiguous and in the machine's byte order; of floating point in float32, of other kinds as it is.

    float64 is rounded, and beyond 3.4e38 becomes infinite, which ``check_finite`` finds.
    """
    dtype = np.dtype(np.float32) if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):
        return array.astype(dtype, order="C", copy=False)


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """float32 values of bfloat16 bit patterns, uint16, of any shape: a bfloat16 is the upper half of a float32."""
    wide = bits.astype(np.uint32, order="C")
    wide <<= np.uint32(16)
    return wide.view(np.float32)


def check_finite(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Checks that all values are numbers.

    Args:
        arrays: tensors by name.
        path: the file that they are from, for the message.

    Raises:
        UserError: naming the first tensors with NaN or infinity, and how many there are.
    """
    bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if bad:
        named = ", ".join(bad[:_SHOWN]) + (f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else "")
        raise UserError(
            f"{path} holds NaN or infinity in {len(bad)} of {len(arrays)} tensors: {named}; "
            "the training that wrote it failed, take an earlier file"
        )
