"""Weights of other libraries with changed names, shapes and values, loaded into a network."""

import json

import numpy as np
from safetensors.numpy import save_file

from mindvit.factory import create_model
from tests.fuzz.target import FileTarget
from tests.weights.published import SIZES, PublishedFile

_MODELS = {
    "timm": ("vit",),
    "torchvision": ("vit",),
    "mindcv": ("vit",),
    "huggingface": ("vit",),
    "google": ("original", "big_vision"),
}
_NAMES = ("blocks.99999999999.norm1.weight", "blocks.-1.x", "x\x1b[2J", "", "norm.weight", "head.weight", "pos_embed")


def _make_seeds(folder):
    for library, models in _MODELS.items():
        for model in models:
            place = folder / f"{library} {model}"
            place.mkdir()
            np.savez(place / "weights.npz", **PublishedFile(library).weights(model))


def _mutate(folder, rng):
    with np.load(folder / "weights.npz") as stored:
        weights = dict(stored)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        name = rng.choice(sorted(weights))
        array, kind = weights[name], rng.randrange(7)
        if kind == 0:
            del weights[name]
        elif kind == 1:
            weights[rng.choice((*_NAMES, rng.choice(sorted(weights))))] = weights.pop(name)
        elif kind == 2:
            shapes = [(-1,), array.shape[::-1], (1, *array.shape), (*array.shape, 1)]
            weights[name] = array.reshape(rng.choice(shapes))
        elif kind == 3:
            weights[name] = np.zeros([rng.choice((0, 1, 2, side)) for side in array.shape], array.dtype)
        elif kind == 4:
            weights[name] = array.astype(rng.choice((np.float64, np.float16, np.int64, np.bool_, np.uint8)))
        elif kind == 5:
            weights[name] = np.float64(rng.choice((0.0, np.nan, np.inf))).astype(array.dtype)
        else:
            weights[name] = array.copy()
            weights[name].flat[: rng.randint(1, 3)] = np.float64(rng.choice((np.nan, np.inf, 1e38))).astype(array.dtype)
        if not weights:
            break
    (folder / "weights.npz").unlink()
    if rng.random() < 0.3:
        config = {"image_size": rng.choice((32, 64, 0, [32, 16])), "num_attention_heads": rng.choice((3, 4, 0, 10**30))}
        (folder / "config.json").write_text(json.dumps(config))
    save_file({name: np.ascontiguousarray(array) for name, array in weights.items()}, folder / "weights.safetensors")


def _check(folder):
    path = next(path for path in sorted(folder.iterdir()) if path.name.startswith("weights."))
    network = create_model("vit_mini_4_32", checkpoint=str(path), **SIZES)
    assert all(np.isfinite(parameter.asnumpy()).all() for parameter in network.get_parameters())


LAYOUTS = FileTarget("layouts", _check, _make_seeds, _mutate, blocks=1)
