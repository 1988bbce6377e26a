"""Reads a weights file of any known format as arrays by name."""

import stat
import zipfile
from pathlib import Path

import numpy as np

from mindvit.errors import UserError
from mindvit.weights.formats.ckpt import ckpt_arrays, read_ckpt, starts_ckpt
from mindvit.weights.formats.corrupt_file import reraise_corrupt_file
from mindvit.weights.formats.npz import holds_arrays, read_npz
from mindvit.weights.formats.safetensors import read_safetensors, starts_safetensors
from mindvit.weights.formats.sharded import read_index
from mindvit.weights.formats.torch_file import read_torch_legacy, read_torch_zip, torch_prefix

_KNOWN = "MindSpore's .ckpt, NumPy's .npz, .safetensors, or PyTorch's .pth"
_START = 16

_ZIP = b"PK\x03\x04"
_PICKLES = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_INDEX = b"{"


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads the weights in a file, without executing anything in it. The content determines the format.

    Formats: MindSpore's ``.ckpt``; ``.npz``; ``.safetensors``, and the index of a model that is split into several;
    PyTorch's ``.pth``, ``.pt`` or ``.bin``, old and new (see ``state_dict.find_state_dict`` for the tensors used).

    Args:
        path: the file.

    Returns:
        Contiguous arrays by the names in the file; floating point (bfloat16, float16, float64) as float32, other data
        types unchanged.

    Raises:
        UserError: if the file is missing, corrupt, truncated or of another format, if it has no tensors, or if reading
            it would execute code.
    """
    path = Path(path)
    with reraise_corrupt_file(path):
        arrays = _read(path, _start(path))
    if not arrays:
        raise UserError(f"{path} has no tensors; choose a weights file")
    return arrays


def _start(path: Path) -> bytes:
    """The first bytes of a regular file."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise UserError(f"{path} is a folder; choose a weights file in it")
    if not stat.S_ISREG(mode):
        raise UserError(f"{path} is a device or a pipe; choose a weights file")
    with open(path, "rb") as file:
        start = file.read(_START)
    if not start:
        raise UserError(f"{path} is empty; download it again")
    return start


def _read(path: Path, start: bytes) -> dict[str, np.ndarray]:
    if starts_safetensors(start):
        return read_safetensors(path)
    if start.startswith(_ZIP):
        return _read_zip(path)
    if start.startswith(_PICKLES):
        return read_torch_legacy(path)
    if start.startswith(_INDEX):
        return read_index(path)
    if starts_ckpt(start):
        return ckpt_arrays(read_ckpt(path)[0])
    raise UserError(f"{path} has an unknown format; choose {_KNOWN}")


def _read_zip(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        prefix = torch_prefix(archive)
        if prefix is not None:
            return read_torch_zip(path, archive, prefix)
        if holds_arrays(archive):
            return read_npz(path, archive)
    raise UserError(f"{path} is a zip archive without NumPy arrays or PyTorch tensors; choose {_KNOWN}")
