"""Random erasing (Zhong et al., 2020)."""

import math

import numpy as np

_AREA = (0.02, 1 / 3)
_LOG_RATIO = (math.log(0.3), -math.log(0.3))
_MAX_TRIES = 10


def random_erasing(values: np.ndarray, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Fills a random box with Gaussian noise, drawn for each pixel and channel (timm's mode "pixel").

    The box covers 0.02 to 1/3 of the image (uniform); its height/width is 0.3 to 1/0.3 (log-uniform). If none of ten
    boxes fits into the image, the image stays unchanged.

    Args:
        values: normalized image, float32 (channels, height, width); not modified.
        probability: probability of erasing a box.
        rng: random number generator.

    Returns:
        A copy with the box erased, or ``values`` itself if no box is erased.
    """
    if probability == 0 or rng.random() >= probability:
        return values
    channels, height, width = values.shape
    for _ in range(_MAX_TRIES):
        area = rng.uniform(*_AREA) * height * width
        ratio = math.exp(rng.uniform(*_LOG_RATIO))
        box_height, box_width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if box_height < height and box_width < width:
            top, left = rng.integers(height - box_height + 1), rng.integers(width - box_width + 1)
            erased = values.copy()
            noise = rng.standard_normal((channels, box_height, box_width), np.float32)
            erased[:, top : top + box_height, left : left + box_width] = noise
            return erased
    return values
