"""How much of an operation each policy means by a magnitude.

A table gives each operation of a policy its amount (in the units of ``operations.operate``) from the magnitude as a
fraction of the greatest, 0 to 1, and from the image's width and height. None means that there is no amount.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from mindvit.data.augment.operations import Fill, operate

Magnitudes = dict[str, Callable[[float, int, int], float] | None]

_SIGNED = frozenset(
    {"Rotate", "Color", "Contrast", "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY"}
)

_PLAIN: Magnitudes = {"AutoContrast": None, "Equalize": None, "Invert": None}

# timm's "increasing" set, with which DeiT, DeiT III and most recipes for Vision Transformers were published: in it
# every operation changes an image more the greater the magnitude is.
RANDAUGMENT: Magnitudes = {
    **_PLAIN,
    "Rotate": lambda m, *_: 30 * m,
    "Posterize": lambda m, *_: 4 - int(4 * m),
    "Solarize": lambda m, *_: 256 - int(256 * m),
    "SolarizeAdd": lambda m, *_: int(110 * m),
    **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), lambda m, *_: 0.9 * m),
    **dict.fromkeys(("ShearX", "ShearY"), lambda m, *_: 0.3 * m),
    "TranslateX": lambda m, width, height: 0.45 * m * width,
    "TranslateY": lambda m, width, height: 0.45 * m * height,
}

# torchvision's reading of Cubuk et al. (2019): enhancement factors lie on both sides of 1, where the paper's run from
# 0.1 to 1.9; all magnitudes go up from "no change"; translations, at most 150 pixels, go with the image's size.
AUTOAUGMENT: Magnitudes = {
    **_PLAIN,
    "Rotate": lambda m, *_: 30 * m,
    "Posterize": lambda m, *_: 8 - round(4 * m),
    "Solarize": lambda m, *_: 255 - 255 * m,
    **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), lambda m, *_: 0.9 * m),
    **dict.fromkeys(("ShearX", "ShearY"), lambda m, *_: 0.3 * m),
    "TranslateX": lambda m, width, height: int(150 / 331 * m * width),
    "TranslateY": lambda m, width, height: int(150 / 331 * m * height),
}

# The "wide" space of Müller & Hutter (2021), as torchvision reads it: enhancement factors are 0.01 to 1.99, and
# translations are in pixels whatever the image's size.
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


def operate_at(
    magnitudes: Magnitudes,
    name: str,
    magnitude: float,
    image: Image.Image,
    rng: np.random.Generator,
    fill: Fill,
    resample: Image.Resampling,
) -> Image.Image:
    """Applies an operation at a magnitude between 0 and 1; where it has two directions, one of them is drawn."""
    amount_of = magnitudes[name]
    amount = amount_of(magnitude, image.width, image.height) if amount_of else 0.0
    if name in _SIGNED and rng.random() < 0.5:
        amount = -amount
    return operate(name, image, amount, fill, resample)
