"""Reads the JSON files that are published beside weights: ``config.json`` and ``preprocessor_config.json``."""

import json
from pathlib import Path
from typing import Any, get_args

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.models.vit_config import Interpolation

_GELU = {"gelu": "exact", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "gelu_tanh": "tanh"}
# Hugging Face stores the number of a Pillow filter.
_FILTERS = {0: "nearest", 2: "bilinear", 3: "bicubic"}


def read_sidecar_config(path: Path) -> tuple[dict[str, Any], Classes | None]:
    """Reads ``config.json`` and ``preprocessor_config.json`` beside a weights file, as timm or Transformers write them.

    Returns:
        Settings of the model and its preprocessing, by their names in ``ViTConfig`` and ``Preprocessing``; and the
        classes, None if they are not named.

    Raises:
        UserError: if a file is not JSON, has invalid values, or names an activation that is not supported.
    """
    config, preprocessing = (_read(path.parent / name) for name in ("config.json", "preprocessor_config.json"))
    try:
        settings = (
            _model_settings(config)
            | _preprocessing_settings(preprocessing)
            | _timm_settings(config.get("pretrained_cfg") or {})
        )
        return settings, _classes(config)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"a JSON file beside {path} has invalid values ({error}); correct or remove it") from error


def _model_settings(config: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if "hidden_act" in config:
        if config["hidden_act"] not in _GELU:
            raise ValueError(
                f"the activation {config['hidden_act']!r} is not supported; supported are {', '.join(_GELU)}"
            )
        settings["gelu"] = _GELU[config["hidden_act"]]
    if "layer_norm_eps" in config:
        settings["norm_eps"] = float(config["layer_norm_eps"])
    return settings


def _preprocessing_settings(preprocessing: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if "image_mean" in preprocessing:
        settings["mean"], settings["std"] = tuple(preprocessing["image_mean"]), tuple(preprocessing["image_std"])
        # Transformers' ViT resizes the whole image to a square. The nearest setting here is no crop. Its DeiT crops.
        crops = preprocessing.get("do_center_crop")
        settings["crop_pct"] = (
            _shorter_side(preprocessing["crop_size"]) / _shorter_side(preprocessing["size"]) if crops else 1.0
        )
    if preprocessing.get("resample") in _FILTERS:
        settings["interpolation"] = _FILTERS[preprocessing["resample"]]
    return settings


def _shorter_side(size: int | dict[str, int]) -> int:
    return min(size.values()) if isinstance(size, dict) else size


def _timm_settings(published: dict[str, Any]) -> dict[str, Any]:
    settings = {name: published[name] for name in ("mean", "std", "crop_pct") if name in published}
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    if published.get("interpolation") in get_args(Interpolation):
        settings["interpolation"] = published["interpolation"]
    return settings


def _classes(config: dict[str, Any]) -> Classes | None:
    by_index = config.get("id2label")
    if by_index:
        names = [by_index[index] for index in sorted(by_index, key=int)]
        if any(name != f"LABEL_{index}" for index, name in enumerate(names)):
            return Classes(tuple(names), tuple(names))
    names = config.get("label_names")
    if names:
        descriptions = config.get("label_descriptions", {})
        return Classes(tuple(names), tuple(descriptions.get(name, name) for name in names))
    return None


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}, the config beside the weights ({error}); correct or remove it") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}, the config beside the weights, is not a JSON object; correct or remove it")
    return content
