"""Reads the JSON files that are published beside weights: ``config.json`` and ``preprocessor_config.json``."""

from collections import Counter
from math import floor, nextafter
from pathlib import Path
from typing import Any, get_args, get_type_hints

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.json_schema import decode_value
from mindvit.models.vit_config import Interpolation, Preprocessing, ViTConfig
from mindvit.strict_json import parse_json

_GELU = {"gelu": "exact", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "gelu_tanh": "tanh"}
# Hugging Face stores the number of a Pillow filter.
_FILTERS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
_TYPES = get_type_hints(ViTConfig) | get_type_hints(Preprocessing)
# timm's crop modes, and the resize of each.
_CROP_MODES = {"center": "timm", "squash": "squash"}


def read_sidecar_config(path: Path) -> tuple[dict[str, Any], Classes | None]:
    """Reads ``config.json`` and ``preprocessor_config.json`` beside a weights file, as timm or Transformers write them.

    Returns:
        Settings of the model and its preprocessing, by their names in ``ViTConfig`` and ``Preprocessing``; and the
        classes, None if they are not named.

    Raises:
        UserError: if a file is not JSON, has invalid values, or names an activation or an interpolation that is not
            supported.
    """
    names = ("config.json", "preprocessor_config.json")
    config, preprocessing = (read_config_file(path.parent / name) for name in names)
    try:
        settings = (
            _model_settings(config)
            | _preprocessing_settings(preprocessing)
            | _timm_settings(config.get("pretrained_cfg") or {})
            | _activation((config.get("model_args") or {}).get("act_layer"))
        )
        return {name: decode_value(_TYPES[name], value, name) for name, value in settings.items()}, _classes(config)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"a JSON file beside {path} has invalid values ({error}); correct or remove it") from error


def _model_settings(config: dict[str, Any]) -> dict[str, Any]:
    settings = _activation(config.get("hidden_act"))
    if "layer_norm_eps" in config:
        settings["norm_eps"] = float(config["layer_norm_eps"])
    return settings


def _activation(name: str | None) -> dict[str, Any]:
    return {} if name is None else {"gelu": _supported("activation", name, _GELU)}


def _preprocessing_settings(preprocessing: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if "image_mean" in preprocessing:
        settings["mean"], settings["std"] = tuple(preprocessing["image_mean"]), tuple(preprocessing["image_std"])
        size, crops = preprocessing.get("size"), preprocessing.get("do_center_crop")
        crop = crops and _crop_pct(_shorter_side(preprocessing["crop_size"]), _shorter_side(size))
        settings["crop_pct"] = crop or 1.0
        # A size without "shortest_edge" is that of both sides: Transformers' ViT and DeiT squash the image.
        settings["resize"] = "timm" if isinstance(size, dict) and "shortest_edge" in size else "squash"
    if preprocessing.get("resample") is not None:
        settings["interpolation"] = _supported("resample", preprocessing["resample"], _FILTERS)
    return settings


def _shorter_side(size: int | dict[str, int]) -> int:
    return min(size.values()) if isinstance(size, dict) else size


def _crop_pct(crop: int, size: int) -> float:
    """The fraction of which ``floor(crop / fraction)`` is ``size``, in spite of rounding errors."""
    if not 0 < crop <= size:
        raise ValueError(f"crop_size must be above 0 and at most size, {size}, not {crop}")
    fraction = crop / size
    return fraction if floor(crop / fraction) >= size else nextafter(fraction, 0.0)


def _timm_settings(published: dict[str, Any]) -> dict[str, Any]:
    settings = {name: published[name] for name in ("mean", "std", "crop_pct") if name in published}
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    if published.get("interpolation") is not None:
        interpolations = {name: name for name in get_args(Interpolation)}
        settings["interpolation"] = _supported("interpolation", published["interpolation"], interpolations)
    if published.get("crop_mode") is not None:
        settings["resize"] = _supported("crop_mode", published["crop_mode"], _CROP_MODES)
    return settings


def _supported(name: str, value: Any, known: dict[Any, str]) -> str:
    if value not in known:
        raise ValueError(f"the {name} {value!r} is not supported; supported are {', '.join(map(str, known))}")
    return known[value]


def _classes(config: dict[str, Any]) -> Classes | None:
    by_index = config.get("id2label")
    if by_index:
        by_index = decode_value(dict[str, str], by_index, "id2label")
        names = [by_index[index] for index in sorted(by_index, key=int)]
        if any(name != f"LABEL_{index}" for index, name in enumerate(names)):
            return Classes(_unique(names), tuple(names))
    names = config.get("label_names")
    if names:
        descriptions = config.get("label_descriptions", {})
        return Classes(_unique(names), tuple(_text(descriptions.get(name, name)) for name in names))
    return None


def _unique(names: list[str]) -> tuple[str, ...]:
    """Class ids: the names, with the index added to those that occur twice, such as "crane" in ImageNet."""
    counts = Counter(_text(name) for name in names)
    return tuple(f"{name} ({index})" if counts[name] > 1 else name for index, name in enumerate(names))


def _text(name: Any) -> str:
    return decode_value(str, name, "a class name")


def read_config_file(path: Path) -> dict[str, Any]:
    """Reads a JSON file beside weights; empty if there is none.

    Raises:
        UserError: if it cannot be read, or is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}, the config beside the weights ({error}); correct or remove it") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}, the config beside the weights, is not a JSON object; correct or remove it")
    return content
