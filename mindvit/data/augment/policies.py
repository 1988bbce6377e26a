"""Creation of the augmentation policy in the settings."""

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from mindvit.data.augment import autoaugment
from mindvit.data.augment.operations import Fill
from mindvit.data.augment.randaugment import randaugment
from mindvit.data.augment.three_augment import three_augment
from mindvit.data.augment.trivialaugment import trivialaugment
from mindvit.data.native_pixels import NativePixels
from mindvit.data.settings import AugmentSettings

Policy = Callable[[Image.Image, np.random.Generator], Image.Image]


def make_policy(
    settings: AugmentSettings, fill: Fill, resample: Image.Resampling, native: NativePixels | None = None
) -> Policy | None:
    """Creates the policy of ``settings.auto_augment``, or None for "none".

    Args:
        settings: name of the policy, and the options of RandAugment.
        fill: color of the pixels from outside the image, 0 to 255. Recipes use the mean of the normalization.
        resample: resampling filter of the geometric operations.
        native: native kernels, as for ``apply_op``.

    Returns:
        A function of an RGB image and a random number generator.
    """
    options = {"fill": fill, "resample": resample, "native": native}
    if settings.auto_augment == "randaugment":
        return partial(
            randaugment,
            ops=settings.randaugment_ops,
            magnitude=settings.randaugment_magnitude,
            noise=settings.randaugment_noise,
            prob=settings.randaugment_prob,
            **options,
        )
    if settings.auto_augment == "autoaugment":
        return partial(autoaugment.autoaugment, policy=autoaugment.IMAGENET, **options)
    if settings.auto_augment == "autoaugment_cifar10":
        return partial(autoaugment.autoaugment, policy=autoaugment.CIFAR10, **options)
    if settings.auto_augment == "trivialaugment":
        return partial(trivialaugment, **options)
    return three_augment if settings.auto_augment == "three_augment" else None
