"""Checks that the tensors of a MindSpore checkpoint have as many bytes as their dimensions declare.

``mindspore.load_checkpoint`` (2.10) allocates an array by the dimensions and copies the bytes into it without a check.
With too many bytes it writes beyond the array; with too few the rest of the array is uninitialized.
"""

import math
from itertools import groupby
from pathlib import Path

from google.protobuf.message import DecodeError
from mindspore.train.checkpoint_pb2 import Checkpoint

from mindvit.errors import UserError

_BYTES = {
    "Bool": 1,
    "Int8": 1,
    "UInt8": 1,
    "Int16": 2,
    "UInt16": 2,
    "Float16": 2,
    "BFloat16": 2,
    "Int32": 4,
    "UInt32": 4,
    "Float32": 4,
    "Int64": 8,
    "UInt64": 8,
    "Float64": 8,
}
_TEXT = "str"
_CHECKSUM, _CHECKSUM_BYTES = b"crc_num", 17
_MAX_NDIM, _MAX_DIM = 32, 2**31


def check_ckpt_sizes(path: Path) -> None:
    """Checks a checkpoint before MindSpore reads it.

    Raises:
        UserError: if a tensor has a data type that NumPy does not have.
        ValueError: if the file is not a checkpoint, or the bytes of a tensor do not match its dimensions.
    """
    data = path.read_bytes()
    if data[-_CHECKSUM_BYTES:].startswith(_CHECKSUM):
        data = data[:-_CHECKSUM_BYTES]
    try:
        entries = Checkpoint.FromString(data).value
    except DecodeError as error:
        raise ValueError("not a checkpoint") from error
    # A large tensor is split into consecutive entries of the same name; the dimensions of the last one are valid.
    for name, parts in groupby(entries, key=lambda entry: entry.tag):
        tensors = [part.tensor for part in parts]
        last = tensors[-1]
        if last.tensor_type == _TEXT:
            continue
        if last.tensor_type not in _BYTES:
            raise UserError(
                f"{path} has the unsupported data type {last.tensor_type or 'none'} in {name}; save it in float32"
            )
        dims = [] if list(last.dims) == [0] else list(last.dims)
        if len(dims) > _MAX_NDIM or not all(0 <= size < _MAX_DIM for size in dims):
            raise ValueError(f"{name} has impossible dimensions")
        if sum(len(tensor.tensor_content) for tensor in tensors) != math.prod(dims) * _BYTES[last.tensor_type]:
            raise ValueError(f"the bytes of {name} do not match its dimensions")
