"""RandAugment (Cubuk et al., 2020)."""

import numpy as np
from PIL import Image

from mindvit.data.augment.magnitudes import RANDAUGMENT, operate_at
from mindvit.data.augment.operations import Fill

_NAMES = tuple(RANDAUGMENT)
_GREATEST = 10.0


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
) -> Image.Image:
    """Applies operations drawn with replacement from the 15 of ``RANDAUGMENT``, as timm does.

    timm draws the filter, bilinear or bicubic, anew for each operation unless it is told one; here it is always
    ``resample``.

    Args:
        image: RGB.
        rng: where the draws come from.
        ops: how many operations are drawn.
        magnitude: of all of them, 0 to 10.
        noise: standard deviation of the normal noise on each magnitude, which then is clipped to 0 and 10.
        prob: probability with which each of the drawn operations is applied.
        fill: colour of the pixels that come from outside the image.
        resample: the filter of the geometric operations.
    """
    for index in rng.integers(len(_NAMES), size=ops):
        if rng.random() >= prob:
            continue
        drawn = rng.normal(magnitude, noise) if noise > 0 else magnitude
        fraction = min(max(drawn, 0.0), _GREATEST) / _GREATEST
        image = operate_at(RANDAUGMENT, _NAMES[index], fraction, image, rng, fill, resample)
    return image
