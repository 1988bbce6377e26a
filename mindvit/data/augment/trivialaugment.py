"""TrivialAugment, wide (Müller & Hutter, 2021)."""

import numpy as np
from PIL import Image

from mindvit.data.augment.magnitudes import TRIVIALAUGMENT, apply_at_magnitude
from mindvit.data.augment.operations import Fill
from mindvit.data.native_pixels import NativePixels

_OP_NAMES = tuple(TRIVIALAUGMENT)
_NUM_LEVELS = 31


def trivialaugment(
    image: Image.Image,
    rng: np.random.Generator,
    *,
    fill: Fill,
    resample: Image.Resampling,
    native: NativePixels | None = None,
) -> Image.Image:
    """Applies one operation of ``TRIVIALAUGMENT`` at one of 31 magnitudes; both choices are uniform."""
    name = _OP_NAMES[rng.integers(len(_OP_NAMES))]
    magnitude = rng.integers(_NUM_LEVELS) / (_NUM_LEVELS - 1)
    return apply_at_magnitude(TRIVIALAUGMENT, name, magnitude, image, rng, fill, resample, native)
