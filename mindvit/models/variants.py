"""The model names and their configurations."""

import difflib
import fnmatch
import re
from dataclasses import fields, replace
from typing import Any

from mindvit.models.setting_names import nearest_setting
from mindvit.models.vit_config import Preprocessing, ViTConfig

# Widths and depths: Dosovitskiy et al. (2021), table 1, for B, L and H; Touvron et al. (2021), table 1, for Ti and S;
# Zhai et al. (2022), table 2, for giant (ViT-g) and gigantic (ViT-G). "mini" is defined by this project, for images
# of a few dozen pixels.
_SIZES: dict[str, dict[str, int]] = {
    "mini": {"embed_dim": 128, "depth": 6, "num_heads": 4, "mlp_dim": 256},
    "ti": {"embed_dim": 192, "depth": 12, "num_heads": 3, "mlp_dim": 768},
    "s": {"embed_dim": 384, "depth": 12, "num_heads": 6, "mlp_dim": 1536},
    "b": {"embed_dim": 768, "depth": 12, "num_heads": 12, "mlp_dim": 3072},
    "l": {"embed_dim": 1024, "depth": 24, "num_heads": 16, "mlp_dim": 4096},
    "h": {"embed_dim": 1280, "depth": 32, "num_heads": 16, "mlp_dim": 5120},
    "giant": {"embed_dim": 1408, "depth": 40, "num_heads": 16, "mlp_dim": 6144},
    "gigantic": {"embed_dim": 1664, "depth": 48, "num_heads": 16, "mlp_dim": 8192},
}

# The patch sizes that are published for each size.
_PATCHES: dict[str, tuple[int, ...]] = {
    "ti": (16,),
    "s": (8, 14, 16, 32),
    "b": (8, 14, 16, 32),
    "l": (14, 16, 32),
    "h": (14, 16),
    "giant": (14,),
    "gigantic": (14,),
}

_HALVES = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

# Numerics of the published implementations, and preprocessing of each family at 224 px.
_FLAX = {"norm_eps": 1e-6, "gelu": "tanh"}
_PYTORCH = {"norm_eps": 1e-6, "gelu": "exact"}
_AUGREG_PREPROCESSING = Preprocessing(**_HALVES, interpolation="bicubic", crop_pct=0.9)
_DEIT_PREPROCESSING = Preprocessing(interpolation="bicubic")


def _build_table() -> dict[str, ViTConfig]:
    table = {}

    def add(
        family: str,
        size: str,
        patch: int,
        preprocessing: Preprocessing,
        sizes: tuple[int, ...] = (224, 384),
        large_crop: float = 1.0,
        **options: Any,
    ) -> None:
        for image_size in sizes:
            if image_size % patch == 0:
                images = replace(preprocessing, crop_pct=large_crop) if image_size == 384 else preprocessing
                settings = _SIZES[size] | options
                table[f"{family}_{patch}_{image_size}"] = ViTConfig(image_size, patch, preprocessing=images, **settings)

    small = Preprocessing(**_HALVES, crop_pct=1.0)
    add("vit_mini", "mini", 4, small, sizes=(32,), norm_eps=1e-6)
    for size, patches in _PATCHES.items():
        for patch in patches:
            # Numerics and preprocessing of the tutorial, but with antialiasing, as in training; those of a checkpoint
            # replace them. Patch size 14 does not divide 384, so these models exist at 224 only.
            add(f"vit_{size}", size, patch, Preprocessing(), large_crop=0.875)
    for name, size, patch, stem in (
        ("r26_s", "s", 32, "r26"),
        ("r50_b", "b", 16, "r50_s16"),
        ("r50_l", "l", 32, "r50"),
    ):
        add(f"vit_{name}", size, patch, _AUGREG_PREPROCESSING, stem=stem, **_FLAX)
    add("vit_efficientnet_b0_s", "s", 32, _DEIT_PREPROCESSING, sizes=(224,), stem="efficientnet_b0", **_FLAX)
    for size, images in (("ti", (224,)), ("s", (224,)), ("b", (224, 384))):
        add(f"deit_{size}", size, 16, _DEIT_PREPROCESSING, images, **_PYTORCH)
        add(f"deit_{size}_distilled", size, 16, _DEIT_PREPROCESSING, images, distilled=True, **_PYTORCH)
    for size, patch in (("s", 16), ("b", 16), ("l", 16), ("h", 14)):
        options = {"layer_scale": 1e-4, "prefix_pos_embed": False, "drop_path_mode": "constant"}
        add(f"deit3_{size}", size, patch, replace(_DEIT_PREPROCESSING, crop_pct=1.0), **options, **_PYTORCH)
    plain = {"pos_embed": "sincos2d", "pool": "mean", "pre_logits_dim": 384}
    add("plain_vit_s", "s", 16, replace(small, crop_pct=0.875), sizes=(224,), **plain, **_FLAX)
    registers = {"register_tokens": 4, "pool": "mean_norm"}
    add("vit_b_reg4_gap", "b", 16, _AUGREG_PREPROCESSING, sizes=(256,), **registers, **_PYTORCH)
    siglip = replace(_AUGREG_PREPROCESSING, crop_pct=1.0)
    add("vit_b_siglip", "b", 16, siglip, pool="map", **_FLAX)
    return table


_VARIANTS = _build_table()


def list_models(pattern: str = "*") -> list[str]:
    """The model names of ``create_model`` that match ``pattern``, a shell pattern such as ``vit_b_*``, sorted."""
    return sorted(fnmatch.filter(_VARIANTS, pattern))


def model_config(name: str) -> ViTConfig:
    """The configuration of a model name.

    Raises:
        ValueError: for an unknown name; the message names the nearest.
    """
    if name not in _VARIANTS:
        nearest = difflib.get_close_matches(name, _VARIANTS, n=3, cutoff=0.0)
        raise ValueError(f"unknown model {name!r}; the nearest names are {', '.join(nearest)}")
    return _VARIANTS[name]


def override(config: ViTConfig, **settings: Any) -> ViTConfig:
    """A configuration with some settings replaced: fields of ``ViTConfig`` or of its ``Preprocessing``.

    Raises:
        ValueError: for an unknown setting (the message names the nearest), or for invalid settings.
    """
    preprocessing_names = {item.name for item in fields(Preprocessing)}
    model_names = {item.name for item in fields(ViTConfig)}
    for key in settings.keys() - preprocessing_names - model_names:
        nearest = nearest_setting(key, preprocessing_names | model_names | {"checkpoint"})
        raise ValueError(f"unknown model setting {key!r}; the nearest is {nearest!r}")
    preprocessing = {key: value for key, value in settings.items() if key in preprocessing_names}
    replaced = {key: value for key, value in settings.items() if key in model_names}
    if preprocessing:
        replaced["preprocessing"] = replace(replaced.get("preprocessing", config.preprocessing), **preprocessing)
    return replace(config, **replaced)


def name_in(text: str) -> str | None:
    """The longest model name that ``text`` contains as a whole word (``best-vit_b_16_224.ckpt``), or None."""
    found = [name for name in _VARIANTS if re.search(rf"(?<![a-z0-9]){name}(?![0-9])", text.lower())]
    return max(found, key=len, default=None)
