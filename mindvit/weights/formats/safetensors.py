"""Hugging Face's ``.safetensors``: a JSON header, then the bytes of the tensors."""

import json
import struct
from pathlib import Path

import numpy as np
from safetensors import deserialize

from mindvit.errors import UserError
from mindvit.files import replacing
from mindvit.weights.formats.values import as_float32, widen_bfloat16

_DTYPES = {
    "BOOL": np.bool_,
    "U8": np.uint8,
    "I8": np.int8,
    "U16": np.uint16,
    "I16": np.int16,
    "U32": np.uint32,
    "I32": np.int32,
    "U64": np.uint64,
    "I64": np.int64,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_ALIGNMENT = 8


def starts_safetensors(start: bytes) -> bool:
    """Whether a file that starts with these bytes (at least 16) is a safetensors file: a length, then JSON."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100_000_000


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a safetensors file; floating point, bfloat16 included, as float32.

    Raises:
        UserError: if a tensor has a data type that NumPy does not have, such as 8-bit floats.
        Exception: one that ``corrupt_file.reraise_corrupt_file`` handles, if the file is corrupt.
    """
    return {name: _array(path, name, **tensor) for name, tensor in deserialize(path.read_bytes())}


def _array(path: Path, name: str, dtype: str, shape: list[int], data: bytes) -> np.ndarray:
    if dtype == "BF16":
        return widen_bfloat16(np.frombuffer(data, "<u2")).reshape(shape)
    if dtype not in _DTYPES:
        raise UserError(f"{path} has the unsupported data type {dtype} in {name}; convert it to float32")
    return as_float32(np.frombuffer(data, np.dtype(_DTYPES[dtype]).newbyteorder("<")).reshape(shape))


def write_safetensors(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes arrays and texts by name, atomically. The same content always gives the same bytes.

    The ``safetensors`` package is not used for this, because it writes the texts in a random order.

    Args:
        path: file to write.
        arrays: arrays of numbers by name.
        metadata: texts by name, for the file's header.

    Raises:
        UserError: if the file cannot be written.
        ValueError: if an array has a data type that the format does not have.
    """
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))  # aligns each array to its item size
    header: dict = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in names:
        array = arrays[name]
        dtype = _NAMES.get(array.dtype.newbyteorder("="))
        if dtype is None:
            raise ValueError(f"{name} has the data type {array.dtype}, which safetensors does not support")
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            array = arrays[name]
            file.write(array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).tobytes())
