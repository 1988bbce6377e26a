"""Hugging Face's large models: several safetensors files, and an index that says which tensor is in which."""

import json
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from mindvit.errors import UserError
from mindvit.weights.formats.corrupt_file import reraise_corrupt_file
from mindvit.weights.formats.safetensors import read_safetensors, starts_safetensors


def read_index(path: Path) -> dict[str, np.ndarray]:
    """Reads all tensors of a ``model.safetensors.index.json`` from the files beside it; floating point as float32.

    Raises:
        UserError: if it is no index, names files elsewhere, or a file or a tensor is missing or damaged.
    """
    places = _weight_map(path)
    shards = sorted(set(places.values()))
    outside = [shard for shard in shards if not _is_plain(shard)]
    if outside:
        raise UserError(f"{path} names {outside[0]!r}, which is not a file beside it; get it from a source you trust")
    missing = [shard for shard in shards if not (path.parent / shard).is_file()]
    if missing:
        raise UserError(
            f"{path} needs {len(shards)} files beside it, and {len(missing)} are missing: {', '.join(missing)}; "
            "fetch them too"
        )
    found: dict[str, np.ndarray] = {}
    for shard in shards:
        wanted = [name for name, place in places.items() if place == shard]
        found |= _read_shard(path, path.parent / shard, wanted)
    return {name: found[name] for name in places}


def _weight_map(path: Path) -> dict[str, str]:
    """File name by tensor name."""
    try:
        places = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        valid = isinstance(places, dict) and all(isinstance(place, str) for place in places.values())
    except (ValueError, LookupError, TypeError, RecursionError):
        valid = False
    if not valid:
        raise UserError(
            f"{path} is no whole index of a model in several files; give a file of weights, "
            "or the model.safetensors.index.json beside its parts"
        )
    return places


def _is_plain(shard: str) -> bool:
    """Whether it is a file's name alone, by the rules of every system."""
    if shard in ("", "..") or "\0" in shard:
        return False
    return all(path(shard).name == shard for path in (PurePosixPath, PureWindowsPath))


def _read_shard(index: Path, path: Path, wanted: list[str]) -> dict[str, np.ndarray]:
    with reraise_corrupt_file(path):
        with open(path, "rb") as file:
            start = file.read(16)
        if not starts_safetensors(start):
            raise UserError(f"{path} is no safetensors file, or damaged; get it anew")
        arrays = read_safetensors(path)
    lacking = [name for name in wanted if name not in arrays]
    if lacking:
        raise UserError(f"{path} lacks {lacking[0]}, which {index.name} says is in it; get both anew")
    return {name: arrays[name] for name in wanted}
