"""Color jitter."""

import numpy as np
from PIL import Image, ImageEnhance

_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def color_jitter(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """Scales brightness, contrast and saturation, in random order, like torchvision's ``ColorJitter(c, c, c)``.

    Args:
        image: RGB.
        strength: c, 0 to 1. Each of the three factors is uniform in [1 - c, 1 + c]. 0 changes nothing.
        rng: random number generator.
    """
    if strength == 0:
        return image
    factors = rng.uniform(1 - strength, 1 + strength, len(_ENHANCERS))
    for index in rng.permutation(len(_ENHANCERS)):
        image = _ENHANCERS[index](image).enhance(factors[index])
    return image
