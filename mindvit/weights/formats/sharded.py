"""Sharded models of Hugging Face: several safetensors files, and an index that maps tensor names to files."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from mindvit.errors import UserError
from mindvit.strict_json import parse_json
from mindvit.weights.formats.corrupt_file import reraise_corrupt_file
from mindvit.weights.formats.safetensors import read_safetensors, starts_safetensors


def read_index(path: Path) -> dict[str, np.ndarray]:
    """Reads all tensors of a ``model.safetensors.index.json`` from the files beside it; floating point as float32.

    Raises:
        UserError: if it is not an index, names files in other folders, or a file or a tensor is missing or corrupt.
    """
    weight_map = _weight_map(path)
    shards = sorted(set(weight_map.values()))
    outside = [shard for shard in shards if not _is_plain(shard)]
    if outside:
        raise UserError(
            f"{path} names {outside[0]!r}, which is not a file in the same folder; "
            "download it from a source that you trust"
        )
    missing = [shard for shard in shards if not (path.parent / shard).is_file()]
    if missing:
        raise UserError(
            f"{path} needs {len(shards)} files in the same folder, of which {len(missing)} are missing: "
            f"{', '.join(missing)}; download them too"
        )
    found: dict[str, np.ndarray] = {}
    for shard in shards:
        wanted = [name for name, file in weight_map.items() if file == shard]
        found |= _read_shard(path, path.parent / shard, wanted)
    return {name: found[name] for name in weight_map}


def _weight_map(path: Path) -> dict[str, str]:
    """File name by tensor name."""
    try:
        weight_map = parse_json(path.read_text(encoding="utf-8"))["weight_map"]
        valid = isinstance(weight_map, dict) and all(isinstance(file, str) for file in weight_map.values())
    except (ValueError, LookupError, TypeError):
        valid = False
    if not valid:
        raise UserError(
            f"{path} is not a complete index of a sharded model; choose a weights file, "
            "or the model.safetensors.index.json in the folder of the shards"
        )
    return weight_map


def _is_plain(shard: str) -> bool:
    """Whether it is a file name without a folder, by the rules of every operating system."""
    if shard in ("", "..") or "\0" in shard:
        return False
    return all(path(shard).name == shard for path in (PurePosixPath, PureWindowsPath))


def _read_shard(index: Path, path: Path, wanted: list[str]) -> dict[str, np.ndarray]:
    with reraise_corrupt_file(path):
        with open(path, "rb") as file:
            start = file.read(16)
        if not starts_safetensors(start):
            raise UserError(f"{path} is corrupt, or is not a safetensors file; download it again")
        arrays = read_safetensors(path)
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise UserError(f"{path} has no tensor {missing[0]}, but {index.name} lists it there; download both again")
    return {name: arrays[name] for name in wanted}
