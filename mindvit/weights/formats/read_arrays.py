"""A file of weights in whatever format, as arrays by name."""

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
    """Reads the weights in a file, without executing anything in it. The format is known by the content.

    Formats: MindSpore's ``.ckpt``; ``.npz``; ``.safetensors``, and the index of a model in several of these;
    PyTorch's ``.pth``, ``.pt`` or ``.bin``, old and new (``state_dict.find_state_dict`` says what is taken of it).

    Args:
        path: the file.

    Returns:
        Arrays by the names that the file gives them, contiguous; all floating point (bfloat16, float16, float64) as
        float32, other kinds as they are.

    Raises:
        UserError: if there is no such file, or it is damaged, cut off, of another format, or holds no tensors, or
            holds what would have to be executed.
    """
    path = Path(path)
    with reraise_corrupt_file(path):
        arrays = _read(path, _start(path))
    if not arrays:
        raise UserError(f"{path} holds no tensors; give a file of weights")
    return arrays


def _start(path: Path) -> bytes:
    """The first bytes of a file that is none but a file."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise UserError(f"{path} is a folder; name a file of weights in it")
    if not stat.S_ISREG(mode):
        raise UserError(f"{path} is a device or a pipe; give a file of weights")
    with open(path, "rb") as file:
        start = file.read(_START)
    if not start:
        raise UserError(f"{path} is empty; get it anew")
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
    raise UserError(f"{path} is in no format that is known here; give {_KNOWN}")


def _read_zip(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        prefix = torch_prefix(archive)
        if prefix is not None:
            return read_torch_zip(path, archive, prefix)
        if holds_arrays(archive):
            return read_npz(path, archive)
    raise UserError(f"{path} is a zip archive with neither NumPy's arrays nor PyTorch's tensors in it; give {_KNOWN}")
