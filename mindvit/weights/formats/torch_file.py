"""PyTorch's ``.pth``, ``.pt`` and ``.bin``: the zip archive of today's ``torch.save``, and the format before 1.6."""

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
    """The folder in a zip archive that holds a PyTorch file's pickle; None if there is none, or several."""
    found = [name for name in archive.namelist() if _PICKLE.fullmatch(name)]
    return found[0].removesuffix("data.pkl") if len(found) == 1 else None


def read_torch_zip(path: Path, archive: zipfile.ZipFile, prefix: str) -> dict[str, np.ndarray]:
    """Reads the weights in a zip archive of ``torch.save``; floating point, bfloat16 too, as float32.

    Args:
        path: the file, for messages.
        archive: that file, opened.
        prefix: of the names of its entries, as ``torch_prefix`` gives it.

    Raises:
        UserError: if it holds more than tensors and plain data, no tensors by name, or kinds that NumPy does not have.
        Exception: of the kinds that ``damage.reraise_corrupt_file`` knows, if the archive is damaged.
    """
    entries = {info.filename: info for info in archive.infolist()}
    if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
        raise UserError(f"{path} was packed anew, with compression; unpack it, and take what torch.save wrote")
    order = entries.get(f"{prefix}byteorder")
    if order and archive.read(order) != b"little":
        raise _big_endian(path)

    def read_storage(storage: Storage) -> bytes:
        data = archive.read(entries[f"{prefix}data/{storage.key}"])
        if len(data) != num_bytes(storage):
            raise ValueError("a storage of another size than its description")
        return data

    with _refusing(path):
        content, _ = read_torch_pickle(io.BytesIO(archive.read(entries[f"{prefix}data.pkl"])))
    return make_arrays(path, find_state_dict(path, content), read_storage)


def read_torch_legacy(path: Path) -> dict[str, np.ndarray]:
    """Reads the weights in a file of PyTorch before 1.6: pickles, then the storages; as ``read_torch_zip`` does.

    Raises:
        UserError: as ``read_torch_zip`` does, or if it is another program's pickle.
        Exception: of the kinds that ``damage.reraise_corrupt_file`` knows, if the file is damaged.
    """
    data = path.read_bytes()
    file = io.BytesIO(data)
    with _refusing(path):
        if read_torch_pickle(file)[0] != _MAGIC:
            raise UserError(
                f"{path} is a pickle that torch.save did not write, and is not opened; "
                "save its arrays with numpy.savez or safetensors"
            )
        protocol, system = (read_torch_pickle(file)[0] for _ in range(2))
        content, storages = read_torch_pickle(file)
        keys = read_torch_pickle(file)[0]
    if protocol != _PROTOCOL:
        raise ValueError("an unknown protocol")
    if not system["little_endian"]:
        raise _big_endian(path)
    places = _find_storages(memoryview(data), file.tell(), keys, storages)
    return make_arrays(path, find_state_dict(path, content), lambda storage: places[storage.key])


def _find_storages(
    data: memoryview, start: int, keys: list[str | int], storages: dict[str | int, Storage]
) -> dict[str | int, memoryview]:
    """The bytes of storages that follow each other, each a count of its numbers and the numbers."""
    places = {}
    for key in keys:
        if type(key) not in (str, int):
            raise TypeError("a key is a text or a number")
        storage, begin = storages[key], start + _COUNT
        start = begin + num_bytes(storage)
        if int.from_bytes(data[begin - _COUNT : begin], "little") != storage.numel or start > len(data):
            raise EOFError("a storage of another size than its description")
        places[key] = data[begin:start]
    return places


def _big_endian(path: Path) -> UserError:
    return UserError(f"{path} was written by a big-endian machine, which cannot be read; write it on another")


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except ForbiddenError as error:
        raise UserError(
            f"{path} holds more than tensors: it asks for {error}, which is never executed; "
            "save the weights alone with torch.save(model.state_dict(), ...)"
        ) from error
