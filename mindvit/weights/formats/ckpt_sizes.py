"""Whether the tensors of a MindSpore checkpoint are as large as they say.

``mindspore.load_checkpoint`` (2.10) copies a tensor's bytes to where its dimensions ask for room, without comparing the
two: more bytes than that it writes beyond the array, into whatever lies there; after fewer it leaves the rest unset.
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
_MOST_DIMENSIONS, _LARGEST_DIMENSION = 32, 2**31


def check_ckpt_sizes(path: Path) -> None:
    """Checks a checkpoint before MindSpore reads it.

    Raises:
        UserError: if a tensor is of a kind that NumPy does not have.
        ValueError: if the file is no checkpoint, or a tensor has more bytes or fewer than its dimensions ask for.
    """
    data = path.read_bytes()
    if data[-_CHECKSUM_BYTES:].startswith(_CHECKSUM):
        data = data[:-_CHECKSUM_BYTES]
    try:
        entries = Checkpoint.FromString(data).value
    except DecodeError as error:
        raise ValueError("no checkpoint") from error
    # A large tensor is cut into entries of the same name, one after the other; the last one's dimensions hold.
    for name, parts in groupby(entries, key=lambda entry: entry.tag):
        tensors = [part.tensor for part in parts]
        last = tensors[-1]
        if last.tensor_type == _TEXT:
            continue
        if last.tensor_type not in _BYTES:
            raise UserError(
                f"{path} holds {last.tensor_type or 'no'} numbers in {name}, which cannot be read; save it in float32"
            )
        dims = [] if list(last.dims) == [0] else list(last.dims)
        if len(dims) > _MOST_DIMENSIONS or not all(0 <= size < _LARGEST_DIMENSION for size in dims):
            raise ValueError(f"{name} has impossible dimensions")
        if sum(len(tensor.tensor_content) for tensor in tensors) != math.prod(dims) * _BYTES[last.tensor_type]:
            raise ValueError(f"{name} is not as large as it says")
