"""Infers the configuration of a network from the names and shapes of its tensors."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from mindvit.models.stems import RESNETS, STEMS, stem_stride
from mindvit.models.variants import list_models, model_config
from mindvit.models.vit_config import ViTConfig

Tensors = Mapping[str, np.ndarray]

_BLOCK = "transformer.layers.0"
_KERNEL = "patch_embedding.conv.weight"
_UNIT = re.compile(r"stem\.stages\.(\d+)\.(\d+)\.")
_LAYER = re.compile(r"transformer\.layers\.(\d+)\.")


def infer_config(tensors: Tensors) -> dict[str, Any]:
    """The settings that the tensors of a network determine, by their names in ``ViTConfig``.

    Settings without effect on names and shapes, such as ``num_heads`` and ``norm_eps``, are not among them.
    """
    stem = _stem(tensors)
    layers = {int(found[1]) for found in map(_LAYER.match, tensors) if found}
    side = _size(tensors, _KERNEL, axis=2)
    return {
        "embed_dim": _size(tensors, _KERNEL),
        "depth": max(layers, default=-1) + 1,
        "mlp_dim": _size(tensors, f"{_BLOCK}.1.cell.1.dense1.bias"),
        "patch_size": side * stem_stride(stem) if side and stem in STEMS else side,
        "stem": stem,
        "class_token": "cls" in tensors,
        "distilled": "distillation" in tensors,
        "register_tokens": _size(tensors, "registers", axis=1) or 0,
        "layer_scale": f"{_BLOCK}.0.layer_scale" in tensors,
        "qk_norm": f"{_BLOCK}.0.cell.1.query_norm.gamma" in tensors,
        "pool": "pool.probe" in tensors,
        "pre_logits_dim": _size(tensors, "pre_logits.bias"),
    }


def comparable_config(config: ViTConfig) -> dict[str, Any]:
    """The settings of a config in the form of ``infer_config``, for comparison."""
    return {
        "embed_dim": config.embed_dim,
        "depth": config.depth,
        "mlp_dim": config.mlp_dim,
        "patch_size": config.patch_size,
        "stem": config.stem,
        "class_token": config.has_class_token,
        "distilled": config.distilled,
        "register_tokens": config.register_tokens,
        "layer_scale": config.layer_scale is not None,
        "qk_norm": config.qk_norm,
        "pool": config.pool == "map",
        "pre_logits_dim": config.pre_logits_dim,
    }


def differences(tensors: Tensors, config: ViTConfig) -> list[str]:
    """The settings in which the tensors of a file differ from a config, in readable form."""
    found, wanted = infer_config(tensors), comparable_config(config)
    names = {"pool": "pool map"}
    return [
        f"{names.get(name, name)} (the file's: {_readable(found[name])}, the model's: {_readable(wanted[name])})"
        for name in found
        if found[name] != wanted[name] or type(found[name]) is not type(wanted[name])
    ]


def matching_models(tensors: Tensors) -> list[str]:
    """The names of the models that the tensors fit, at any image size."""
    found = infer_config(tensors)
    return [name for name in list_models() if comparable_config(model_config(name)) == found]


def _readable(value: Any) -> str:
    return {"True": "yes", "False": "no", "None": "none"}.get(str(value), str(value))


def _size(tensors: Tensors, name: str, axis: int = 0) -> int | None:
    """Size of a tensor along an axis; None if there is no such tensor or axis."""
    return tensors[name].shape[axis] if name in tensors and tensors[name].ndim > axis else None


def _stem(tensors: Tensors) -> str | None:
    """The stem that has as many units per stage as the tensors; a description if there is none."""
    units = [tuple(map(int, found.groups())) for found in map(_UNIT.match, tensors) if found]
    if not units:
        return None
    if any(name.endswith(".depthwise.weight") for name in tensors):
        return "efficientnet_b0"
    stages = max(stage for stage, _ in units) + 1
    layers = tuple(max(unit for stage, unit in units if stage == which) + 1 for which in range(stages))
    return next((name for name, known in RESNETS.items() if known == layers), f"a ResNet of {layers} units")
