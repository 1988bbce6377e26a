"""NumPy's ``.npz``: a zip archive of arrays, the format of the weights published with the ViT paper."""

import math
import zipfile
from pathlib import Path

import numpy as np

from mindvit.errors import UserError
from mindvit.weights.formats.corrupt_file import check_size
from mindvit.weights.formats.values import as_float32

_ENDING = ".npy"


def holds_arrays(archive: zipfile.ZipFile) -> bool:
    """Whether an archive is an ``.npz``: all its entries are arrays."""
    names = archive.namelist()
    return bool(names) and all(name.endswith(_ENDING) for name in names)


def read_npz(path: Path, archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Reads the arrays of an ``.npz``; floating point as float32. No pickle in it is loaded.

    Raises:
        UserError: if an entry is not an array of numbers, or the declared sizes are not plausible.
        Exception: one that ``corrupt_file.reraise_corrupt_file`` handles, if the archive is corrupt.
    """
    entries = {info.filename.removesuffix(_ENDING): info for info in archive.infolist()}
    check_size(path, sum(info.file_size for info in entries.values()))
    for name, info in entries.items():
        _check_header(path, name, archive, info)
    arrays = {}
    for name, info in entries.items():
        with archive.open(info) as entry:
            arrays[name] = as_float32(np.lib.format.read_array(entry, allow_pickle=False))
    return arrays


def _check_header(path: Path, name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Checks an entry before it is read: NumPy allocates by the header before it compares the size of the entry."""
    with archive.open(info) as entry:
        version = np.lib.format.read_magic(entry)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(entry)
        start = entry.tell()
    if dtype.hasobject:
        raise UserError(f"{path} has Python objects in {name}, which are never loaded; save only arrays of numbers")
    if dtype.kind not in "biuf":
        raise UserError(f"{path} has the data type {dtype} in {name}, which is not for weights; save it without")
    if min(shape, default=0) < 0 or start + math.prod(shape) * dtype.itemsize != info.file_size:
        raise ValueError(f"the size of {name} does not match its header")
