"""The table of model names, and what each stands for."""

import difflib
import fnmatch
import re
from dataclasses import fields, replace
from typing import Any

from mindvit.models.config import Preprocessing, ViTConfig

# Widths and depths: Dosovitskiy et al. (2021), table 1, for B, L and H; Touvron et al. (2021), table 1, for Ti and S.
# "mini" is this project's own, for pictures of a few dozen pixels.
_SIZES: dict[str, dict[str, int]] = {
    "mini": {"embed_dim": 128, "depth": 6, "num_heads": 4, "mlp_dim": 256},
    "ti": {"embed_dim": 192, "depth": 12, "num_heads": 3, "mlp_dim": 768},
    "s": {"embed_dim": 384, "depth": 12, "num_heads": 6, "mlp_dim": 1536},
    "b": {"embed_dim": 768, "depth": 12, "num_heads": 12, "mlp_dim": 3072},
    "l": {"embed_dim": 1024, "depth": 24, "num_heads": 16, "mlp_dim": 4096},
    "h": {"embed_dim": 1280, "depth": 32, "num_heads": 16, "mlp_dim": 5120},
}

# The patch sizes that papers publish for each size. 384 is not a multiple of 14, so those have 224 alone.
_PATCHES: dict[str, tuple[int, ...]] = {
    "ti": (16,),
    "s": (8, 14, 16, 32),
    "b": (8, 14, 16, 32),
    "l": (14, 16, 32),
    "h": (14, 16),
}

_SMALL_PICTURES = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), crop_pct=1.0)


def _build_table() -> dict[str, ViTConfig]:
    table = {"vit_mini_4_32": ViTConfig(32, 4, norm_eps=1e-6, preprocessing=_SMALL_PICTURES, **_SIZES["mini"])}
    for size, patches in _PATCHES.items():
        for patch in patches:
            for image in (224, 384):
                if image % patch == 0:
                    table[f"vit_{size}_{patch}_{image}"] = ViTConfig(image, patch, **_SIZES[size])
    return table


_VARIANTS = _build_table()


def list_models(pattern: str = "*") -> list[str]:
    """The names that ``create_model`` knows, sorted; ``pattern`` is a shell pattern such as ``vit_b_*``."""
    return sorted(fnmatch.filter(_VARIANTS, pattern))


def model_config(name: str) -> ViTConfig:
    """The settings that a model name stands for.

    Raises:
        ValueError: for an unknown name, naming the nearest.
    """
    if name not in _VARIANTS:
        nearest = difflib.get_close_matches(name, _VARIANTS, n=3, cutoff=0.0)
        raise ValueError(f"there is no model named {name!r}; the nearest names are {', '.join(nearest)}")
    return _VARIANTS[name]


def override(config: ViTConfig, **settings: Any) -> ViTConfig:
    """A config with some settings replaced, each a field of ``ViTConfig`` or of its ``Preprocessing``.

    Raises:
        ValueError: for an unknown setting, naming the nearest, or sizes that do not fit.
    """
    of_pictures = {item.name for item in fields(Preprocessing)}
    of_model = {item.name for item in fields(ViTConfig)}
    for key in settings.keys() - of_pictures - of_model:
        nearest = difflib.get_close_matches(key, of_pictures | of_model, n=1, cutoff=0.0)
        raise ValueError(f"a model has no setting {key!r}; the nearest is {nearest[0]!r}")
    pictures = {key: value for key, value in settings.items() if key in of_pictures}
    sizes = {key: value for key, value in settings.items() if key in of_model}
    if pictures:
        sizes["preprocessing"] = replace(sizes.get("preprocessing", config.preprocessing), **pictures)
    return replace(config, **sizes)


def name_in(text: str) -> str | None:
    """The longest model name that stands in ``text`` as whole words (``best-vit_b_16_224.ckpt``), or None."""
    found = [name for name in _VARIANTS if re.search(rf"(?<![a-z0-9]){name}(?![0-9])", text.lower())]
    return max(found, key=len, default=None)
