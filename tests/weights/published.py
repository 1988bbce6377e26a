"""Tiny models of other libraries, with the logits that these libraries compute: see tests/references/weights."""

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent.parent / "references/weights"
IMAGE, PATCH, CLASSES = 32, 8, 7
WIDTH, DEPTH, HEADS, HIDDEN = 24, 2, 3, 48

SIZES = {
    "image_size": IMAGE,
    "patch_size": PATCH,
    "embed_dim": WIDTH,
    "depth": DEPTH,
    "num_heads": HEADS,
    "mlp_dim": HIDDEN,
}
"""Arguments of create_model."""


def random_images(height=IMAGE, width=IMAGE, channels=3):
    """The batch of images that the logits of all libraries are for."""
    return np.random.default_rng(5).standard_normal((2, channels, height, width)).astype(np.float32)


def random_weights(kind, shape, rng, fan_in=None):
    """Random weights with a scale at which every tensor has an effect on the logits.

    They are exact in float16, so that the files compress well. Tokens are small (0.01) at the first norm, so that its
    epsilon has an effect too.

    Args:
        kind: gamma, layer_scale, table, patches, vector or matrix.
        shape: shape of the weights.
        rng: NumPy generator.
        fan_in: inputs per output; by default the product of all axes but the first, as in PyTorch.
    """
    values = rng.standard_normal(shape)
    fan_in = fan_in or int(np.prod(shape[1:]))
    return (
        {
            "gamma": 1 + 0.1 * values,
            "layer_scale": 0.5 + 0.1 * values,
            "table": 0.01 * values,
            "patches": 0.01 * values / fan_in**0.5,
            "vector": 0.1 * values,
            "matrix": values / fan_in**0.5,
        }[kind]
        .astype(np.float16)
        .astype(np.float32)
    )


class PublishedFile:
    """The models of one library: ``<model>/weights/<name>`` and ``<model>/<result of the library>``."""

    def __init__(self, library):
        with np.load(FOLDER / f"{library}.npz") as stored:
            self.arrays = dict(stored)

    def weights(self, model):
        prefix = f"{model}/weights/"
        return {key.removeprefix(prefix): value for key, value in self.arrays.items() if key.startswith(prefix)}

    def __getitem__(self, key):
        return self.arrays[key]


# Names of MindCV since 0.3, and of the tutorial, taken from files of both.
_TO_TUTORIAL = (
    ("cls_token", "cls"),
    ("pos_embed", "pos_embedding"),
    ("patch_embed.proj", "patch_embedding.conv"),
    ("blocks.", "transformer.layers."),
    (".norm1", ".0.cell.0"),
    (".attn.qkv", ".0.cell.1.qkv"),
    (".attn.proj", ".0.cell.1.out"),
    (".norm2", ".1.cell.0"),
    (".mlp.fc1", ".1.cell.1.dense1"),
    (".mlp.fc2", ".1.cell.1.dense2"),
    ("head.", "dense."),
)


def tutorial_weights(mindcv_weights):
    """Weights of MindCV under the names of MindSpore's tutorial."""
    return renamed(mindcv_weights, *_TO_TUTORIAL)


def renamed(weights, *pairs):
    """Weights with parts of their names replaced, pair by pair."""
    for old, new in pairs:
        weights = {name.replace(old, new): values for name, values in weights.items()}
    return weights


def pack(library, arrays):
    """Writes the file of a library; returns its description."""
    path = FOLDER / f"{library}.npz"
    np.savez_compressed(path, **arrays)
    return f"{path.name}: {len(arrays)} arrays, {path.stat().st_size:,} bytes"


def write_npz(path, weights):
    np.savez(path, **weights)
    return path


def write_json(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def assert_same_tensors(found, expected):
    """Compares names, data types, shapes and values, bit for bit."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape), name
        assert found[name].tobytes() == values.tobytes(), name
