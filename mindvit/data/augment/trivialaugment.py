"""TrivialAugment, wide (Müller & Hutter, 2021)."""

import numpy as np
from PIL import Image

from mindvit.data.augment.magnitudes import TRIVIALAUGMENT, operate_at
from mindvit.data.augment.operations import Fill

_NAMES = tuple(TRIVIALAUGMENT)
_LEVELS = 31


def trivialaugment(
    image: Image.Image, rng: np.random.Generator, *, fill: Fill, resample: Image.Resampling
) -> Image.Image:
    """Applies one operation of ``TRIVIALAUGMENT``, all equally likely, at one of 31 equally likely magnitudes."""
    name = _NAMES[rng.integers(len(_NAMES))]
    magnitude = rng.integers(_LEVELS) / (_LEVELS - 1)
    return operate_at(TRIVIALAUGMENT, name, magnitude, image, rng, fill, resample)
