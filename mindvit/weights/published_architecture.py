"""Reads the architecture that a published ``config.json`` states, as timm or Transformers write it."""

from pathlib import Path
from typing import Any, NamedTuple

from mindvit.errors import UserError
from mindvit.models.variants import model_config
from mindvit.weights.export import timm_models
from mindvit.weights.sidecar_config import read_config_file

_MODEL_TYPES = ("vit", "deit", "vit_mae", "vit_msn")
_TRANSFORMERS = {
    "hidden_size": "embed_dim",
    "num_hidden_layers": "depth",
    "num_attention_heads": "num_heads",
    "intermediate_size": "mlp_dim",
    "image_size": "image_size",
    "patch_size": "patch_size",
    "num_channels": "in_channels",
}
_TIMM = {
    "embed_dim": "embed_dim",
    "depth": "depth",
    "num_heads": "num_heads",
    "img_size": "image_size",
    "patch_size": "patch_size",
    "in_chans": "in_channels",
}
_OF_A_TIMM_NAME = ("embed_dim", "depth", "num_heads", "mlp_dim", "patch_size")
_POOLS = {"token": "cls", "avg": "mean_norm", "map": "map"}


class Stated(NamedTuple):
    """A setting that a file states."""

    value: Any
    """The value, in the form of ``ViTConfig``; an image size as height and width."""
    text: str
    """What the file says, such as ``num_attention_heads is 12``."""


def read_published_architecture(path: Path) -> dict[str, Stated]:
    """The architecture in the ``config.json`` beside a weights file, by the names of ``ViTConfig``; empty without one.

    Raises:
        UserError: if the file is not JSON, has invalid values, or is of a model that is not supported.
    """
    place = path.parent / "config.json"
    config = read_config_file(place)
    kind = config.get("model_type")
    if kind is not None and kind not in _MODEL_TYPES:
        raise UserError(
            f"{path} has weights that are not supported: {place} says that their model_type is {kind!r}; supported are "
            f"{', '.join(_MODEL_TYPES)}"
        )
    if config.get("qkv_bias") is False:
        raise UserError(f"{path} has weights that are not supported: {place} says that qkv_bias is false")
    try:
        return _numbers(config, _TRANSFORMERS) | _of_timm(config)
    except ValueError as error:
        raise UserError(f"{place}, the config beside the weights: {error}; correct or remove it") from error


def _of_timm(config: dict[str, Any]) -> dict[str, Stated]:
    name, arguments = config.get("architecture"), config.get("model_args") or {}
    published = config.get("pretrained_cfg") or {}
    if not all(isinstance(item, dict) for item in (arguments, published)):
        raise ValueError("model_args and pretrained_cfg must be objects")
    found: dict[str, Stated] = {}
    ours = timm_models().get(name) if isinstance(name, str) else None
    if ours is not None:
        row = model_config(ours)
        text = f"architecture is {name}, with {{}} {{}}"
        found |= {key: Stated(getattr(row, key), text.format(key, getattr(row, key))) for key in _OF_A_TIMM_NAME}
        if row.stem is not None:
            del found["patch_size"]
    if "input_size" in published:
        channels, height, width = _sizes(published["input_size"], "input_size", 3)
        text = f"input_size is {channels}x{height}x{width}"
        found |= {"in_channels": Stated(channels, text), "image_size": Stated((height, width), text)}
    found |= _numbers(config, {"num_features": "embed_dim"}) | _numbers(arguments, _TIMM)
    ratio, width = arguments.get("mlp_ratio"), found.get("embed_dim")
    if ratio is not None and width is not None:
        if not isinstance(ratio, int | float) or not 0 < ratio < 1000:
            raise ValueError(f"mlp_ratio must be a number above 0, not {ratio!r}")
        found["mlp_dim"] = Stated(int(width.value * ratio), f"mlp_ratio is {ratio} and embed_dim {width.value}")
    pool = arguments.get("global_pool", config.get("global_pool"))
    if pool:
        without_norm = pool == "avg" and arguments.get("fc_norm") is False
        found["pool"] = Stated("mean" if without_norm else _POOLS.get(str(pool)), f"global_pool is {pool}")
    return found


def _numbers(config: dict[str, Any], names: dict[str, str]) -> dict[str, Stated]:
    found = {}
    for theirs, ours in names.items():
        if config.get(theirs) is None:
            continue
        sides = _sizes(config[theirs], theirs, 2 if ours in ("image_size", "patch_size") else 1)
        value = sides if ours == "image_size" else sides[0]
        if ours == "patch_size" and sides[0] != sides[1]:
            raise ValueError(f"{theirs} {list(sides)} is not supported; patches are square")
        found[ours] = Stated(value, f"{theirs} is {'x'.join(map(str, sides)) if ours == 'image_size' else value}")
    return found


def _sizes(value: Any, name: str, count: int) -> tuple[int, ...]:
    """Positive integers; one stands for the same along every axis, but for the channels of an image."""
    sizes = value if isinstance(value, list) else [value] * count
    valid = len(sizes) == count and all(type(size) is int and 0 < size < 2**31 for size in sizes)
    if not valid or (count == 3 and sizes is not value):
        raise ValueError(
            f"{name} must be {'a positive integer' if count < 3 else '3 positive integers'}, not {value!r}"
        )
    return tuple(sizes)
