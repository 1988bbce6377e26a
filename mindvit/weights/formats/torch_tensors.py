"""Makes arrays from PyTorch's tensor descriptions, after checking that they are within the file."""

import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mindvit.errors import UserError
from mindvit.weights.formats.corrupt_file import check_size
from mindvit.weights.formats.torch_pickle import Storage, TensorView
from mindvit.weights.formats.values import as_float32, widen_bfloat16

Buffer = bytes | memoryview

_BFLOAT16 = "bfloat16"
_DTYPES = {
    _BFLOAT16: "<u2",
    "bool": "?",
    "uint8": "u1",
    "int8": "i1",
    "uint16": "<u2",
    "int16": "<i2",
    "uint32": "<u4",
    "int32": "<i4",
    "uint64": "<u8",
    "int64": "<i8",
    "float16": "<f2",
    "float32": "<f4",
    "float64": "<f8",
    "complex64": "<c8",
    "complex128": "<c16",
}


def make_arrays(
    path: Path, tensors: dict[str, TensorView], read_storage: Callable[[Storage], Buffer]
) -> dict[str, np.ndarray]:
    """Copies tensors from their storages, one storage after the other; floating point as float32.

    Args:
        path: the file, for messages.
        tensors: descriptions by name.
        read_storage: returns all bytes of a storage, as many as it declares.

    Raises:
        UserError: if a tensor has a data type that NumPy does not have, or the sizes are not plausible.
        ValueError: if a tensor exceeds its storage.
    """
    for name, view in tensors.items():
        if view.dtype not in _DTYPES:
            raise UserError(f"{path} has the unsupported data type {view.dtype} in {name}; convert it to float32")
    # Tensors may share storages and repeat elements with strides of 0, so they can be larger than the file.
    check_size(path, sum(math.prod(view.shape) * np.dtype(_DTYPES[view.dtype]).itemsize for view in tensors.values()))
    of_storage = defaultdict(list)
    for name, view in tensors.items():
        of_storage[view.storage.key].append(name)
    arrays: dict[str, np.ndarray] = {}
    for names in of_storage.values():
        buffer = read_storage(tensors[names[0]].storage)
        arrays |= {name: _copy(tensors[name], buffer) for name in names}
    return {name: arrays[name] for name in tensors}


def num_bytes(storage: Storage) -> int:
    """Declared size of a storage, in bytes."""
    return storage.numel * np.dtype(_DTYPES[storage.dtype]).itemsize


def _copy(view: TensorView, buffer: Buffer) -> np.ndarray:
    dtype = np.dtype(_DTYPES[view.dtype])
    flat = np.frombuffer(buffer, dtype, count=len(buffer) // dtype.itemsize)
    first = view.storage.start + view.offset
    if 0 in view.shape:
        array = np.empty(view.shape, dtype)
    else:
        last = first + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True))
        if last >= len(flat):
            raise ValueError("a tensor exceeds its storage")
        strides = [stride * dtype.itemsize for stride in view.strides]
        array = np.lib.stride_tricks.as_strided(flat[first:], view.shape, strides, writeable=False)
    # A copy: a view of the buffer would keep all of it in memory, and be read-only.
    return widen_bfloat16(array) if view.dtype == _BFLOAT16 else as_float32(array.copy(order="C"))
