"""PyTorch's ``.pth``, ``.pt`` and ``.bin``: the zip archive that ``torch.save`` writes, and the format before 1.6."""

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mindvit.errors import UserError
from mindvit.weights.formats.pickle_machine import ForbiddenError
from mindvit.weights.formats.state_dict import find_state_dict
from mindvit.weights.formats.torch_pickle import Storage, read_torch_pickle
from mindvit.weights.formats.torch_tensors import make_arrays, num_bytes

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_COUNT = 8  # bytes
_PICKLE = re.compile(r"[^/]+/data\.pkl")


def torch_prefix(archive: zipfile.ZipFile) -> str | None:
    """The folder of the pickle in a zip archive of ``torch.save``; None if there is none, or several."""
    found = [name for name in archive.namelist() if _PICKLE.fullmatch(name)]
    return found[0].removesuffix("data.pkl") if len(found) == 1 else None


def read_torch_zip(path: Path, archive: zipfile.ZipFile, prefix: str) -> dict[str, np.ndarray]:
    """Reads the weights in a zip archive of ``torch.save``; floating point, bfloat16 included, as float32.

    Args:
        path: the file, for messages.
        archive: the opened file.
        prefix: the prefix of its entries, as ``torch_prefix`` returns it.

    Raises:
        UserError: if it has more than tensors and plain data, no named tensors, or data types that NumPy does not
            have.
        Exception: one that ``corrupt_file.reraise_corrupt_file`` handles, if the archive is corrupt.
    """
    entries = {info.filename: info for info in archive.infolist()}
    if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
        raise UserError(f"{path} was compressed after torch.save wrote it; use the original file")
    order = entries.get(f"{prefix}byteorder")
    if order and archive.read(order) != b"little":
        raise _big_endian(path)

    def read_storage(storage: Storage) -> bytes:
        data = archive.read(entries[f"{prefix}data/{storage.key}"])
        if len(data) != num_bytes(storage):
            raise ValueError("the size of a storage does not match its description")
        return data

    with _refuse_forbidden(path):
        content, _ = read_torch_pickle(io.BytesIO(archive.read(entries[f"{prefix}data.pkl"])))
    return make_arrays(path, find_state_dict(path, content), read_storage)


def read_torch_legacy(path: Path) -> dict[str, np.ndarray]:
    """Reads the weights in a file of PyTorch before 1.6: pickles, then the storages. See ``read_torch_zip``.

    Raises:
        UserError: as ``read_torch_zip``, or if it is a pickle of another program.
        Exception: one that ``corrupt_file.reraise_corrupt_file`` handles, if the file is corrupt.
    """
    data = path.read_bytes()
    file = io.BytesIO(data)
    with _refuse_forbidden(path):
        if read_torch_pickle(file)[0] != _MAGIC:
            raise UserError(
                f"{path} is a pickle that torch.save did not write, and is not loaded; "
                "save its arrays with numpy.savez or safetensors"
            )
        protocol, system = (read_torch_pickle(file)[0] for _ in range(2))
        content, storages = read_torch_pickle(file)
        keys = read_torch_pickle(file)[0]
    if protocol != _PROTOCOL:
        raise ValueError("unknown protocol")
    if not system["little_endian"]:
        raise _big_endian(path)
    buffers = _find_storages(memoryview(data), file.tell(), keys, storages)
    return make_arrays(path, find_state_dict(path, content), lambda storage: buffers[storage.key])


def _find_storages(
    data: memoryview, start: int, keys: list[str | int], storages: dict[str | int, Storage]
) -> dict[str | int, memoryview]:
    """The bytes of consecutive storages, each stored as its number of elements and the elements."""
    buffers = {}
    for key in keys:
        if type(key) not in (str, int):
            raise TypeError("a key must be a string or a number")
        storage, begin = storages[key], start + _COUNT
        start = begin + num_bytes(storage)
        if int.from_bytes(data[begin - _COUNT : begin], "little") != storage.numel or start > len(data):
            raise EOFError("the size of a storage does not match its description")
        buffers[key] = data[begin:start]
    return buffers


def _big_endian(path: Path) -> UserError:
    return UserError(f"{path} was written on a big-endian machine, which is not supported; save it on another machine")


@contextmanager
def _refuse_forbidden(path: Path) -> Iterator[None]:
    try:
        yield
    except ForbiddenError as error:
        raise UserError(
            f"{path} has more than tensors: it requires {error}, which is never executed; "
            "save only the weights with torch.save(model.state_dict(), ...)"
        ) from error
