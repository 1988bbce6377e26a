"""Corrupt files of every format give arrays or a UserError, and nothing else."""

import json
import resource
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import save_file

from mindvit.errors import UserError
from mindvit.weights.formats.ckpt import write_ckpt
from mindvit.weights.formats.read_arrays import read_arrays

FILES = Path(__file__).parents[2] / "references/torch_files"
TORCH = ("kinds", "legacy", "views_legacy", "protocol4", "nested", "nested_legacy")
CASES = 80


def make(folder, kind):
    """Writes an intact file of a kind."""
    path = folder / kind
    arrays = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b.weight": np.ones(3, np.float16)}
    if kind in TORCH:
        path.write_bytes((FILES / f"{kind}.pth").read_bytes())
    elif kind.startswith("npz"):
        with open(path, "wb") as file:
            (np.savez if kind == "npz" else np.savez_compressed)(file, **arrays)
    elif kind == "ckpt":
        path = folder / "w.ckpt"
        write_ckpt(path, {name: ms.Tensor(array) for name, array in arrays.items()}, {})
        path.write_bytes(path.read_bytes()[:-17])  # Without its checksum, the content is parsed.
    else:
        save_file(arrays, folder / "part.safetensors")
        path = folder / "part.safetensors"
        if kind == "index":
            path = folder / "index.json"
            path.write_text(json.dumps({"weight_map": dict.fromkeys(arrays, "part.safetensors")}))
    return path


def corrupted(data, rng):
    for place in np.linspace(0, len(data) - 1, CASES).astype(int):
        yield data[:place]
        flipped = bytearray(data)
        flipped[place] ^= 1 << rng.integers(8)
        yield bytes(flipped)
        changed = bytearray(data)
        changed[place : place + 4] = rng.bytes(4)
        yield bytes(changed)
        yield data[:place] + data[place + rng.integers(1, 20) :]


@pytest.fixture
def limited_memory():
    """Makes every allocation fail that exceeds the used address space by more than 8 GiB, written to or not."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 8 * 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [*TORCH, "npz", "npz_compressed", "safetensors", "index", "ckpt"])
def test_corrupt_files_give_arrays_or_a_user_error(tmp_path, rng, kind, limited_memory):
    path = make(tmp_path, kind)
    assert read_arrays(path)
    refused = 0
    for data in corrupted(path.read_bytes(), rng):
        path.write_bytes(data)
        try:
            found = read_arrays(path)
        except UserError as error:
            assert path.name in str(error) or "part.safetensors" in str(error)
            assert "not enough memory" not in str(error)
            refused += 1
        else:
            assert all(isinstance(array, np.ndarray) for array in found.values())
    assert refused >= CASES, "at least all truncated files are refused"
