"""The layout of Google's JAX code: the original ViT and AugReg, their hybrids, and big_vision."""

import re

import numpy as np

from mindvit.weights.layouts.key_map import KeyMap, KeyRule, Transform
from mindvit.weights.layouts.layout import Arrays, Layout, augreg_preprocessing

_BLOCK, _OURS = "Transformer/encoderblock_{}", "transformer.layers.{}"
_MAX_BLOCKS = 1000
_PREFIXES = ("params/img/", "params/", "opt/target/", "img/")


def _transposed(kernel: np.ndarray) -> np.ndarray:
    return kernel.T


def _to_heads(kernel: np.ndarray) -> np.ndarray:
    return kernel.reshape(kernel.shape[0], -1).T


def _from_heads(kernel: np.ndarray) -> np.ndarray:
    return kernel.reshape(-1, kernel.shape[-1]).T


def _convolution(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(3, 2, 0, 1)


def _flattened(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1)


def _with_batch_axis(values: np.ndarray) -> np.ndarray:
    return values.reshape((1, *values.shape)) if values.ndim == 2 else values


def _dense(
    theirs: str, ours: str, kernel: Transform = _transposed, part: tuple[int, int] | None = None
) -> list[KeyRule]:
    return [
        KeyRule(f"{theirs}/kernel", f"{ours}.weight", part, kernel),
        KeyRule(f"{theirs}/bias", f"{ours}.bias", part, _flattened),
    ]


def _norm(theirs: str, ours: str) -> list[KeyRule]:
    return [
        KeyRule(f"{theirs}/scale", f"{ours}.gamma", None, _flattened),
        KeyRule(f"{theirs}/bias", f"{ours}.beta", None, _flattened),
    ]


def _blocks() -> list[KeyRule]:
    rows = []
    # The original code numbers all parts of a block in one sequence, big_vision each kind of part separately.
    for attention, second, mlp in (("1", "2", "3"), ("0", "1", "0")):
        theirs = f"{_BLOCK}/MultiHeadDotProductAttention_{attention}"
        rows += _dense(f"{theirs}/out", f"{_OURS}.0.cell.1.out", _from_heads)
        for index, name in enumerate(("query", "key", "value")):
            rows += _dense(f"{theirs}/{name}", f"{_OURS}.0.cell.1.qkv", _to_heads, (index, 3))
        rows += _norm(f"{_BLOCK}/LayerNorm_{second}", f"{_OURS}.1.cell.0")
        for index, name in enumerate(("dense1", "dense2")):
            rows += _dense(f"{_BLOCK}/MlpBlock_{mlp}/Dense_{index}", f"{_OURS}.1.cell.1.{name}")
    return rows + _norm(f"{_BLOCK}/LayerNorm_0", f"{_OURS}.0.cell.0")


def _map_head() -> list[KeyRule]:
    theirs = "MAPHead_0/MultiHeadDotProductAttention_0"
    rows = [KeyRule("MAPHead_0/probe", "pool.probe", None, _with_batch_axis)]
    rows += _dense(f"{theirs}/query", "pool.query", _to_heads) + _dense(f"{theirs}/out", "pool.out", _from_heads)
    for index, name in enumerate(("key", "value")):
        rows += _dense(f"{theirs}/{name}", "pool.keys_and_values", _to_heads, (index, 2))
    rows += _norm("MAPHead_0/LayerNorm_0", "pool.norm")
    for index, name in enumerate(("dense1", "dense2")):
        rows += _dense(f"MAPHead_0/MlpBlock_0/Dense_{index}", f"pool.feed_forward.{name}")
    return rows


def _stem() -> list[KeyRule]:
    unit, ours = "block{}/unit{}", "stem.stages.{}.{}"
    rows = [KeyRule("conv_root/kernel", "stem.root.conv.weight", None, _convolution)]
    rows += _norm("gn_root", "stem.root.norm")
    for index in (1, 2, 3):
        rows.append(KeyRule(f"{unit}/conv{index}/kernel", f"{ours}.conv{index}.weight", None, _convolution))
        rows += _norm(f"{unit}/gn{index}", f"{ours}.norm{index}")
    rows.append(KeyRule(f"{unit}/conv_proj/kernel", f"{ours}.projection.weight", None, _convolution))
    return rows + _norm(f"{unit}/gn_proj", f"{ours}.projection_norm")


def _regular(arrays: Arrays) -> Arrays:
    """Removes a prefix, splits a scanned stack of blocks, and counts the blocks and units of the stem from 0."""
    for prefix in _PREFIXES:
        if f"{prefix}embedding/kernel" in arrays:
            arrays = {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
            break
    regular = {}
    for name, values in arrays.items():
        if name.startswith("Transformer/encoderblock/") and values.ndim and len(values) <= _MAX_BLOCKS:
            rest = name.removeprefix("Transformer/encoderblock/")
            regular |= {f"Transformer/encoderblock_{index}/{rest}": layer for index, layer in enumerate(values)}
        else:
            name = re.sub(
                r"^block(\d{1,4})/unit(\d{1,4})/", lambda m: f"block{int(m[1]) - 1}/unit{int(m[2]) - 1}/", name
            )
            regular[name] = values
    return regular


GOOGLE = Layout(
    name="google",
    signature_keys=tuple(f"{prefix}embedding/kernel" for prefix in ("", *_PREFIXES)),
    key_map=KeyMap(
        [
            KeyRule("cls", "cls", None, _with_batch_axis),
            KeyRule("Transformer/posembed_input/pos_embedding", "pos_embedding", None, _with_batch_axis),
            KeyRule("pos_embedding", "pos_embedding", None, _with_batch_axis),
            *_dense("embedding", "patch_embedding.conv", _convolution),
            *_blocks(),
            *_norm("Transformer/encoder_norm", "norm"),
            *_map_head(),
            *_stem(),
            *_dense("pre_logits", "pre_logits"),
            *_dense("head", "dense"),
        ]
    ),
    norm_eps=1e-6,
    gelu="tanh",
    preprocessing=augreg_preprocessing,
    prepare=_regular,
)
