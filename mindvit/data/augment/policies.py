"""The augmentation policy that the settings name."""

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from mindvit.data.augment import autoaugment
from mindvit.data.augment.operations import Fill
from mindvit.data.augment.randaugment import randaugment
from mindvit.data.augment.three_augment import three_augment
from mindvit.data.augment.trivialaugment import trivialaugment
from mindvit.data.settings import AugmentSettings

Policy = Callable[[Image.Image, np.random.Generator], Image.Image]


def make_policy(settings: AugmentSettings, fill: Fill, resample: Image.Resampling) -> Policy | None:
    """Makes the policy that ``settings.auto_augment`` names, or None for "none".

    Args:
        settings: the policy and, for RandAugment, what it is like.
        fill: colour of the pixels that come from outside the image, 0 to 255; recipes take the mean that images
            are normalised with.
        resample: the filter of the geometric operations.

    Returns:
        A function of an RGB image and of the generator of all its draws.
    """
    pixels = {"fill": fill, "resample": resample}
    if settings.auto_augment == "randaugment":
        return partial(
            randaugment,
            ops=settings.randaugment_ops,
            magnitude=settings.randaugment_magnitude,
            noise=settings.randaugment_noise,
            prob=settings.randaugment_prob,
            **pixels,
        )
    if settings.auto_augment == "autoaugment":
        return partial(autoaugment.autoaugment, policy=autoaugment.IMAGENET, **pixels)
    if settings.auto_augment == "autoaugment_cifar10":
        return partial(autoaugment.autoaugment, policy=autoaugment.CIFAR10, **pixels)
    if settings.auto_augment == "trivialaugment":
        return partial(trivialaugment, **pixels)
    return three_augment if settings.auto_augment == "three_augment" else None
