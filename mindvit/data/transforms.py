"""From a picture to the network's input: at random for training, always alike for everything else."""

from typing import NamedTuple

import numpy as np
from mindspore.dataset import vision
from mindspore.dataset.vision import Inter
from PIL import Image

from mindvit.data.augment.color import color_jitter
from mindvit.data.augment.geometry import flip, padded_crop, random_resized_crop
from mindvit.data.augment.policies import make_policy
from mindvit.data.settings import AugmentSettings
from mindvit.models.config import Preprocessing


class _Filter(NamedTuple):
    compiled: Inter
    pillow: Image.Resampling


# The bicubic filter is Pillow's, with antialiasing, which the published ViT accuracies were measured with.
_INTERPOLATION = {
    "nearest": _Filter(Inter.NEAREST, Image.Resampling.NEAREST),
    "bilinear": _Filter(Inter.LINEAR, Image.Resampling.BILINEAR),
    "bicubic": _Filter(Inter.PILCUBIC, Image.Resampling.BICUBIC),
}


class TrainTransform:
    """Random crop, random flip, policy and colour jitter, by Pillow.

    Every choice comes from the generator that the caller gives, so that a picture's augmentation can be repeated.
    The random operations of ``mindspore.dataset`` cannot serve: they draw from a stream that depends on the number of
    workers and that cannot be continued in the middle. (Measured: 1,030 pictures/s against 1,390 with two workers on
    two cores, JPEG 500 x 375 to 224, bicubic.)

    Args:
        image_size: side of the result, in pixels.
        pictures: how the network wants its pictures.
        augment: how they are varied; ``flip`` must be settled.
    """

    def __init__(self, image_size: int, pictures: Preprocessing, augment: AugmentSettings) -> None:
        self.image_size = image_size
        self.augment = augment
        self.resample = _INTERPOLATION[pictures.interpolation].pillow
        fill = tuple(round(255 * value) for value in pictures.mean)
        self.policy = make_policy(augment, fill, self.resample)

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> np.ndarray:
        """Varies an RGB picture of any size; returns uint8 (image_size, image_size, 3)."""
        augment = self.augment
        if augment.crop == "padded":
            image = padded_crop(image, self.image_size, self.resample, rng)
        else:
            crop = (augment.crop_scale, augment.crop_ratio)
            image = random_resized_crop(image, self.image_size, *crop, self.resample, rng)
        if augment.flip:
            image = flip(image, rng)
        if self.policy is not None:
            image = self.policy(image, rng)
        if augment.color_jitter:
            image = color_jitter(image, augment.color_jitter, rng)
        return np.asarray(image)


def eval_transforms(image_size: int, pictures: Preprocessing) -> list:
    """Resize of the shorter side to ``image_size / crop_pct``, central crop, normalisation, channels first."""
    resize = vision.Resize(round(image_size / pictures.crop_pct), _INTERPOLATION[pictures.interpolation].compiled)
    return [resize, vision.CenterCrop(image_size), *to_input(pictures)]


def to_input(pictures: Preprocessing) -> list:
    """Normalisation, then channels first: uint8 (height, width, 3) to float32 (3, height, width)."""
    mean = [255.0 * value for value in pictures.mean]
    std = [255.0 * value for value in pictures.std]
    return [vision.Normalize(mean=mean, std=std), vision.HWC2CHW()]
