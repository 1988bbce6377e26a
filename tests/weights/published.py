"""Tiny models of other libraries, with the logits that those libraries give for them: tests/references/weights."""

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
"""As create_model takes them."""


def random_images(height=IMAGE, width=IMAGE, channels=3):
    """The batch that every library was shown."""
    return np.random.default_rng(5).standard_normal((2, channels, height, width)).astype(np.float32)


def spread(kind, shape, rng, fan_in=None):
    """Random weights of a spread that makes everything matter, exact in float16, so that files of them pack well.

    Tokens are small (0.01) when they come to the first norm, whose epsilon then shows in the logits.

    Args:
        kind: gamma, layer_scale, table, patches, vector or matrix.
        shape: of the weights.
        rng: where they come from.
        fan_in: inputs of one output; by default all axes but the first, as PyTorch has them.
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
    """One library's file of models: ``<model>/weights/<name>`` and ``<model>/<whatever the library computed>``."""

    def __init__(self, library):
        with np.load(FOLDER / f"{library}.npz") as stored:
            self.arrays = dict(stored)

    def weights(self, model):
        prefix = f"{model}/weights/"
        return {key.removeprefix(prefix): value for key, value in self.arrays.items() if key.startswith(prefix)}

    def __getitem__(self, key):
        return self.arrays[key]


# From MindCV's names since 0.3 to the tutorial's, written down from both libraries' files.
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


def tutorial_weights(of_mindcv):
    """MindCV's tensors under the names of MindSpore's tutorial."""
    return renamed(of_mindcv, *_TO_TUTORIAL)


def renamed(weights, *pairs):
    """Weights with pieces of their names replaced, pair by pair."""
    for old, new in pairs:
        weights = {name.replace(old, new): values for name, values in weights.items()}
    return weights


def pack(library, arrays):
    """Writes a library's file; float32 as it is."""
    path = FOLDER / f"{library}.npz"
    np.savez_compressed(path, **arrays)
    return f"{path.name}: {len(arrays)} arrays, {path.stat().st_size:,} bytes"


def write_npz(path, weights):
    np.savez(path, **weights)
    return path


def write_json(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
