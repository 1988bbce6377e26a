"""The layout of Google's JAX code: the original ViT and AugReg, their hybrids, and big_vision."""

import re

import numpy as np

from mindvit.weights.layouts.key_map import KeyMap, Name, Transform
from mindvit.weights.layouts.layout import Arrays, Layout, augreg_preprocessing

_BLOCK, _OURS = "Transformer/encoderblock_{}", "transformer.layers.{}"
_PREFIXES = ("params/img/", "params/", "opt/target/", "img/")


def _matrix(kernel: np.ndarray) -> np.ndarray:
    return kernel.T


def _to_heads(kernel: np.ndarray) -> np.ndarray:
    return kernel.reshape(kernel.shape[0], -1).T


def _from_heads(kernel: np.ndarray) -> np.ndarray:
    return kernel.reshape(-1, kernel.shape[-1]).T


def _convolution(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(3, 2, 0, 1)


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1)


def _same(values: np.ndarray) -> np.ndarray:
    return values.reshape((1, *values.shape)) if values.ndim == 2 else values


def _dense(theirs: str, ours: str, kernel: Transform = _matrix, part: tuple[int, int] | None = None) -> list[Name]:
    return [
        Name(f"{theirs}/kernel", f"{ours}.weight", part, kernel),
        Name(f"{theirs}/bias", f"{ours}.bias", part, _flat),
    ]


def _norm(theirs: str, ours: str) -> list[Name]:
    return [Name(f"{theirs}/scale", f"{ours}.gamma", None, _flat), Name(f"{theirs}/bias", f"{ours}.beta", None, _flat)]


def _blocks() -> list[Name]:
    rows = []
    # The original numbers a block's parts in one row, big_vision those of each kind.
    for attention, second, mlp in (("1", "2", "3"), ("0", "1", "0")):
        theirs = f"{_BLOCK}/MultiHeadDotProductAttention_{attention}"
        rows += _dense(f"{theirs}/out", f"{_OURS}.0.cell.1.out", _from_heads)
        for index, name in enumerate(("query", "key", "value")):
            rows += _dense(f"{theirs}/{name}", f"{_OURS}.0.cell.1.qkv", _to_heads, (index, 3))
        rows += _norm(f"{_BLOCK}/LayerNorm_{second}", f"{_OURS}.1.cell.0")
        for index, name in enumerate(("dense1", "dense2")):
            rows += _dense(f"{_BLOCK}/MlpBlock_{mlp}/Dense_{index}", f"{_OURS}.1.cell.1.{name}")
    return rows + _norm(f"{_BLOCK}/LayerNorm_0", f"{_OURS}.0.cell.0")


def _map_head() -> list[Name]:
    theirs = "MAPHead_0/MultiHeadDotProductAttention_0"
    rows = [Name("MAPHead_0/probe", "pool.probe", None, _same)]
    rows += _dense(f"{theirs}/query", "pool.query", _to_heads) + _dense(f"{theirs}/out", "pool.out", _from_heads)
    for index, name in enumerate(("key", "value")):
        rows += _dense(f"{theirs}/{name}", "pool.keys_and_values", _to_heads, (index, 2))
    rows += _norm("MAPHead_0/LayerNorm_0", "pool.norm")
    for index, name in enumerate(("dense1", "dense2")):
        rows += _dense(f"MAPHead_0/MlpBlock_0/Dense_{index}", f"pool.feed_forward.{name}")
    return rows


def _stem() -> list[Name]:
    unit, ours = "block{}/unit{}", "stem.stages.{}.{}"
    rows = [Name("conv_root/kernel", "stem.root.conv.weight", None, _convolution)]
    rows += _norm("gn_root", "stem.root.norm")
    for index in (1, 2, 3):
        rows.append(Name(f"{unit}/conv{index}/kernel", f"{ours}.conv{index}.weight", None, _convolution))
        rows += _norm(f"{unit}/gn{index}", f"{ours}.norm{index}")
    rows.append(Name(f"{unit}/conv_proj/kernel", f"{ours}.projection.weight", None, _convolution))
    return rows + _norm(f"{unit}/gn_proj", f"{ours}.projection_norm")


def _regular(arrays: Arrays) -> Arrays:
    """Without a prefix, a scanned stack of blocks taken apart, the stem's blocks and units counted from 0."""
    for prefix in _PREFIXES:
        if f"{prefix}embedding/kernel" in arrays:
            arrays = {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
            break
    regular = {}
    for name, values in arrays.items():
        if name.startswith("Transformer/encoderblock/") and values.ndim:
            rest = name.removeprefix("Transformer/encoderblock/")
            regular |= {f"Transformer/encoderblock_{index}/{rest}": layer for index, layer in enumerate(values)}
        else:
            name = re.sub(r"^block(\d+)/unit(\d+)/", lambda m: f"block{int(m[1]) - 1}/unit{int(m[2]) - 1}/", name)
            regular[name] = values
    return regular


GOOGLE = Layout(
    name="google",
    signature_keys=tuple(f"{prefix}embedding/kernel" for prefix in ("", *_PREFIXES)),
    key_map=KeyMap(
        [
            Name("cls", "cls", None, _same),
            Name("Transformer/posembed_input/pos_embedding", "pos_embedding", None, _same),
            Name("pos_embedding", "pos_embedding", None, _same),
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
