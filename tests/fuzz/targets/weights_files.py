"""Weights files of all formats."""

import json
import struct
from contextlib import suppress
from pathlib import Path

import mindspore as ms
import numpy as np
from safetensors.numpy import save_file

from mindvit.errors import UserError
from mindvit.weights.formats.ckpt import write_ckpt
from mindvit.weights.formats.read_arrays import read_arrays
from mindvit.weights.read import read_weights
from tests.fuzz.mutations import mutated_json, mutated_zip
from tests.fuzz.target import FileTarget, mutate_a_file
from tests.weights.formats.pickles import call, complete_pickle, entries, plain, tensor, write_zip

_TORCH = Path(__file__).parents[2] / "references/torch_files"
_CHECKSUM_BYTES = 17
_ARRAYS = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b.weight": np.ones(3, np.float16)}


def _make_seeds(folder):
    def place(name):
        (folder / name).mkdir()
        return folder / name

    for name in ("kinds", "legacy", "views", "views_legacy", "protocol4", "nested", "nested_legacy"):
        (place(name) / "x.pth").write_bytes((_TORCH / f"{name}.pth").read_bytes())
    write_zip(place("by hand") / "x.pth", entries(a=tensor()), {"0": bytes(24)})
    for name, save in (("npz", np.savez), ("npz compressed", np.savez_compressed)):
        save(place(name) / "x.npz", **_ARRAYS)
    save_file(_ARRAYS, place("safetensors") / "x.safetensors")
    index = place("index")
    save_file(_ARRAYS, index / "part.safetensors")
    (index / "index.json").write_text(json.dumps({"weight_map": dict.fromkeys(_ARRAYS, "part.safetensors")}))
    checked = place("ckpt") / "x.ckpt"
    write_ckpt(checked, {name: ms.Tensor(array) for name, array in _ARRAYS.items()}, {"text": "of a file"})
    # Without its checksum, the changed content is parsed.
    (place("ckpt without checksum") / "x.ckpt").write_bytes(checked.read_bytes()[:-_CHECKSUM_BYTES])


def _mutate(folder, rng):
    path = _weights(folder)
    data = path.read_bytes()
    if data.startswith(b"PK") and rng.random() < 0.6:
        path.write_bytes(mutated_zip(data, rng))
    elif path.suffix == ".json" and rng.random() < 0.6:
        path.write_text(json.dumps(mutated_json(json.loads(data), rng)))
    elif path.suffix == ".safetensors" and rng.random() < 0.6:
        (length,) = struct.unpack("<Q", data[:8])
        header = json.dumps(mutated_json(json.loads(data[8 : 8 + length]), rng)).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + data[8 + length :])
    else:
        mutate_a_file(folder, rng)


def _check(folder):
    path = _weights(folder)
    try:
        arrays = read_arrays(path)
    except UserError as error:
        assert path.name in str(error) or "part.safetensors" in str(error), f"the sentence names no file: {error}"
        raise
    for array in arrays.values():
        assert isinstance(array, np.ndarray)
        assert array.flags.c_contiguous
        assert array.dtype.kind in "biu" or array.dtype == np.float32
    with suppress(UserError):  # Most of these files have no layout that is known; reading the tensors is what counts.
        read_weights(path)


def _weights(folder):
    index = folder / "index.json"
    return index if index.is_file() else next(path for path in sorted(folder.iterdir()) if path.is_file())


WEIGHTS_FILES = FileTarget("weights_files", _check, _make_seeds, _mutate, blocks=6)

CALLS_A_PROGRAM = complete_pickle(call("posix system", plain("touch executed")))
"""A pickle that starts a program when Python's unpickler reads it."""
