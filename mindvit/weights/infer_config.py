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
PATCH_KERNEL = "patch_embedding.conv.weight"
"""Name of the convolution that embeds the patches."""
_UNIT = re.compile(r"stem\.stages\.(\d{1,4})\.(\d{1,4})\.")
_OTHER_STEM = re.compile(r"(^|\.)patch_embed(ding)?s?\.backbone\.")
_LAYER = re.compile(r"transformer\.layers\.(\d{1,4})\.")


def infer_config(tensors: Tensors) -> dict[str, Any]:
    """The settings that the tensors of a network determine, by their names in ``ViTConfig``.

    Settings without effect on names and shapes, such as ``num_heads`` and ``norm_eps``, are not among them.
    """
    stem = _stem(tensors)
    layers = {int(found[1]) for found in map(_LAYER.match, tensors) if found}
    side = _size(tensors, PATCH_KERNEL, axis=2)
    return {
        "stem": stem,
        "embed_dim": _size(tensors, PATCH_KERNEL),
        "depth": len(layers),
        "mlp_dim": _size(tensors, f"{_BLOCK}.1.cell.1.dense1.bias"),
        "patch_size": side * stem_stride(stem) if side and stem in STEMS else side,
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
        "stem": config.stem,
        "embed_dim": config.embed_dim,
        "depth": config.depth,
        "mlp_dim": config.mlp_dim,
        "patch_size": config.patch_size,
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
    if found["stem"] != wanted["stem"]:
        del found["patch_size"]  # It is not known in pixels of the image without the stride of the stem.
    return _compared(found, wanted, "the file's", "the model's")


def metadata_differences(tensors: Tensors, config: ViTConfig) -> list[str]:
    """The settings in which the tensors of a file differ from the config in its own metadata, in readable form.

    More is compared than in ``differences``, because nothing of it was adapted yet.
    """
    found, wanted = infer_config(tensors), comparable_config(config)
    found |= {
        "num_classes": _size(tensors, "dense.weight"),
        "in_channels": _size(tensors, first_kernel(config), axis=1),
    }
    wanted |= {"num_classes": config.num_classes, "in_channels": config.in_channels}
    rows, columns = config.grid
    if config.pos_embed == "learned":
        found["position embeddings"] = _size(tensors, "pos_embedding", axis=1)
        wanted["position embeddings"] = config.pos_embed_tokens + rows * columns
    elif config.pos_embed == "learned2d":
        found["rows, columns"] = (_size(tensors, "pos_rows", axis=1), _size(tensors, "pos_columns", axis=1))
        wanted["rows, columns"] = (rows, columns)
    elif config.pos_embed == "relative":
        table = tensors.get(f"{_BLOCK}.0.cell.1.relative_bias.table")
        found["heads and offsets"] = None if table is None else table.shape
        wanted["heads and offsets"] = (config.num_heads, 2 * rows - 1, 2 * columns - 1)
    if config.qk_norm:
        found["head_dim"], wanted["head_dim"] = _size(tensors, f"{_BLOCK}.0.cell.1.query_norm.gamma"), config.head_dim
    return _compared(found, wanted, "the tensors'", "the metadata's")


def first_kernel(config: ViTConfig) -> str:
    """The name of the first convolution, which reads the channels of the image."""
    return {None: PATCH_KERNEL, "efficientnet_b0": "stem.conv.weight"}.get(config.stem, "stem.root.conv.weight")


def _compared(found: dict[str, Any], wanted: dict[str, Any], of_found: str, of_wanted: str) -> list[str]:
    names = {"pool": "pool map"}
    return [
        f"{names.get(name, name)} ({of_found}: {_readable(found[name])}, {of_wanted}: {_readable(wanted[name])})"
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
        # A stem of a kind that no layout has keeps the names of its library, in the patch embedding.
        others = any(_OTHER_STEM.search(name) or name.startswith("stem.") for name in tensors)
        return "another convolutional network" if others else None
    if any(name.endswith(".depthwise.weight") for name in tensors):
        return "efficientnet_b0"
    stages = max(stage for stage, _ in units) + 1
    layers = tuple(len({unit for stage, unit in units if stage == which}) for which in range(stages))
    return next((name for name, known in RESNETS.items() if known == layers), f"a ResNet of {layers} units")
