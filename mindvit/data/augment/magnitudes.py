"""Magnitudes of the augmentation operations, for each policy.

A table maps each operation of a policy to a function. The function takes the magnitude, scaled to 0 to 1, and the width
and height of the image. It returns the amount in the units of ``operations.apply_op``. None means that the operation
has no amount.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from mindvit.data.augment.operations import Fill, apply_op
from mindvit.data.native_pixels import NativePixels

Magnitudes = dict[str, Callable[[float, int, int], float] | None]

_SIGNED = frozenset(
    {"Rotate", "Color", "Contrast", "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY"}
)

_WITHOUT_AMOUNT: Magnitudes = {"AutoContrast": None, "Equalize": None, "Invert": None}

# timm's "increasing" set, which DeiT, DeiT III and most published ViT recipes use. A greater magnitude gives a greater
# change in every operation.
RANDAUGMENT: Magnitudes = {
    **_WITHOUT_AMOUNT,
    "Rotate": lambda m, *_: 30 * m,
    "Posterize": lambda m, *_: 4 - int(4 * m),
    "Solarize": lambda m, *_: 256 - int(256 * m),
    "SolarizeAdd": lambda m, *_: int(110 * m),
    **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), lambda m, *_: 0.9 * m),
    **dict.fromkeys(("ShearX", "ShearY"), lambda m, *_: 0.3 * m),
    "TranslateX": lambda m, width, height: 0.45 * m * width,
    "TranslateY": lambda m, width, height: 0.45 * m * height,
}

# torchvision's version of Cubuk et al. (2019). Enhancement factors are on both sides of 1; in the paper they run from
# 0.1 to 1.9. All magnitudes increase from "no change". Translations, at most 150 pixels, scale with the image.
AUTOAUGMENT: Magnitudes = {
    **_WITHOUT_AMOUNT,
    "Rotate": lambda m, *_: 30 * m,
    "Posterize": lambda m, *_: 8 - round(4 * m),
    "Solarize": lambda m, *_: 255 - 255 * m,
    **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), lambda m, *_: 0.9 * m),
    **dict.fromkeys(("ShearX", "ShearY"), lambda m, *_: 0.3 * m),
    "TranslateX": lambda m, width, height: int(150 / 331 * m * width),
    "TranslateY": lambda m, width, height: int(150 / 331 * m * height),
}

# torchvision's version of the "wide" space of Müller & Hutter (2021). Enhancement factors are 0.01 to 1.99.
# Translations are in pixels and do not depend on the image size.
TRIVIALAUGMENT: Magnitudes = {
    "Identity": None,
    "AutoContrast": None,
    "Equalize": None,
    "Rotate": lambda m, *_: 135 * m,
    "Posterize": lambda m, *_: 8 - round(6 * m),
    "Solarize": lambda m, *_: 255 - 255 * m,
    **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), lambda m, *_: 0.99 * m),
    **dict.fromkeys(("ShearX", "ShearY"), lambda m, *_: 0.99 * m),
    **dict.fromkeys(("TranslateX", "TranslateY"), lambda m, *_: int(32 * m)),
}


def apply_at_magnitude(
    magnitudes: Magnitudes,
    name: str,
    magnitude: float,
    image: Image.Image,
    rng: np.random.Generator,
    fill: Fill,
    resample: Image.Resampling,
    native: NativePixels | None = None,
) -> Image.Image:
    """Applies an operation at a magnitude between 0 and 1. If it has two directions, one is chosen at random."""
    amount_of = magnitudes[name]
    amount = amount_of(magnitude, image.width, image.height) if amount_of else 0.0
    if name in _SIGNED and rng.random() < 0.5:
        amount = -amount
    return apply_op(name, image, amount, fill, resample, native)
