"""3-Augment (Touvron et al., "DeiT III: Revenge of the ViT", 2022)."""

import numpy as np
from PIL import Image, ImageFilter

from mindvit.data.augment.operations import apply_op

_THRESHOLD = 128
_SIGMA = (0.1, 2.0)


def three_augment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Applies grayscale, solarize (threshold 128) or Gaussian blur (sigma 0.1 to 2 pixels), with equal probability.

    The color jitter of 0.3, which follows in the paper, is the setting ``augment.color_jitter``.
    """
    choice = rng.integers(3)
    if choice == 0:
        return image.convert("L").convert("RGB")
    if choice == 1:
        return apply_op("Solarize", image, _THRESHOLD, (0, 0, 0), Image.Resampling.NEAREST)
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(*_SIGMA)))
