"""RandAugment (Cubuk et al., 2020)."""

import numpy as np
from PIL import Image

from mindvit.data.augment.magnitudes import RANDAUGMENT, apply_at_magnitude
from mindvit.data.augment.operations import Fill
from mindvit.data.native_pixels import NativePixels

_OP_NAMES = tuple(RANDAUGMENT)
_MAX_MAGNITUDE = 10.0


def randaugment(
    image: Image.Image,
    rng: np.random.Generator,
    *,
    ops: int,
    magnitude: float,
    noise: float,
    prob: float,
    fill: Fill,
    resample: Image.Resampling,
    native: NativePixels | None = None,
) -> Image.Image:
    """Applies operations that are drawn with replacement from the 15 of ``RANDAUGMENT``, like timm.

    By default timm draws the filter, bilinear or bicubic, for each operation. Here it is always ``resample``.

    Args:
        image: RGB.
        rng: random number generator.
        ops: number of operations.
        magnitude: magnitude of the operations, 0 to 10.
        noise: standard deviation of the Gaussian noise on each magnitude. The sum is clipped to 0 and 10.
        prob: probability of applying each drawn operation.
        fill: color of the pixels from outside the image.
        resample: resampling filter of the geometric operations.
        native: native kernels, as for ``apply_op``.
    """
    for index in rng.integers(len(_OP_NAMES), size=ops):
        if rng.random() >= prob:
            continue
        noisy = rng.normal(magnitude, noise) if noise > 0 else magnitude
        fraction = min(max(noisy, 0.0), _MAX_MAGNITUDE) / _MAX_MAGNITUDE
        image = apply_at_magnitude(RANDAUGMENT, _OP_NAMES[index], fraction, image, rng, fill, resample, native)
    return image
