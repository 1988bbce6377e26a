"""3-Augment (Touvron et al., "DeiT III: Revenge of the ViT", 2022)."""

import numpy as np
from PIL import Image, ImageFilter

from mindvit.data.augment.operations import operate

_THRESHOLD = 128
_SIGMA = (0.1, 2.0)


def three_augment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Turns an image gray, solarizes it at 128 or blurs it (sigma 0.1 to 2 pixels), each as likely as the others.

    The paper's colour jitter of 0.3, which follows, is the setting ``augment.color_jitter``.
    """
    choice = rng.integers(3)
    if choice == 0:
        return image.convert("L").convert("RGB")
    if choice == 1:
        return operate("Solarize", image, _THRESHOLD, (0, 0, 0), Image.Resampling.NEAREST)
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(*_SIGMA)))
