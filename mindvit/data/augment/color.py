"""Colour jitter."""

import numpy as np
from PIL import Image, ImageEnhance

_KINDS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def color_jitter(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """Scales brightness, contrast and saturation, in random order, as torchvision's ``ColorJitter(c, c, c)`` does.

    Args:
        image: RGB.
        strength: c, 0 to 1; each of the three factors is drawn uniformly from 1 - c to 1 + c. 0 changes nothing.
        rng: where the draws come from.
    """
    if strength == 0:
        return image
    factors = rng.uniform(1 - strength, 1 + strength, len(_KINDS))
    for index in rng.permutation(len(_KINDS)):
        image = _KINDS[index](image).enhance(factors[index])
    return image
