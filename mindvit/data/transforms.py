"""From an image to the network's input: at random for training, always alike for everything else."""

from typing import NamedTuple

import numpy as np
from mindspore.dataset import vision
from mindspore.dataset.vision import Inter
from PIL import Image

from mindvit.data.augment.color import color_jitter
from mindvit.data.augment.geometry import flip, padded_crop, random_resized_crop
from mindvit.data.augment.policies import make_policy
from mindvit.data.settings import AugmentSettings
from mindvit.models.vit_config import Preprocessing


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

    Every choice comes from the generator that the caller gives, so that an image's augmentation can be repeated.
    The random operations of ``mindspore.dataset`` cannot serve: they draw from a stream that depends on the number of
    workers and that cannot be continued in the middle. (Measured: 1,030 images/s against 1,390 with two workers on
    two cores, JPEG 500 x 375 to 224, bicubic.)

    Args:
        shape: height and width of the result, in pixels.
        preprocessing: how the network wants its images.
        augment: how they are varied; ``flip`` must be settled.
    """

    def __init__(self, shape: tuple[int, int], preprocessing: Preprocessing, augment: AugmentSettings) -> None:
        self.shape = shape
        self.augment = augment
        self.resample = _INTERPOLATION[preprocessing.interpolation].pillow
        fill = tuple(round(255 * value) for value in preprocessing.mean)
        self.policy = make_policy(augment, fill, self.resample)

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> np.ndarray:
        """Varies an RGB image of any size; returns uint8 (height, width, 3)."""
        augment = self.augment
        if augment.crop == "padded":
            image = padded_crop(image, self.shape, self.resample, rng)
        else:
            crop = (augment.crop_scale, augment.crop_ratio)
            image = random_resized_crop(image, self.shape, *crop, self.resample, rng)
        if augment.flip:
            image = flip(image, rng)
        if self.policy is not None:
            image = self.policy(image, rng)
        if augment.color_jitter:
            image = color_jitter(image, augment.color_jitter, rng)
        return np.asarray(image)


def eval_transforms(shape: tuple[int, int], preprocessing: Preprocessing) -> list:
    """Resize, central crop to ``shape`` (height and width), normalisation, channels first.

    The image is resized, at its own proportions, to the least size that covers ``shape / crop_pct``: for a square,
    its shorter side is resized to that.
    """
    cover, interpolation = (
        [round(side / preprocessing.crop_pct) for side in shape],
        _INTERPOLATION[preprocessing.interpolation],
    )
    square = shape[0] == shape[1]
    resize = vision.Resize(cover[0], interpolation.compiled) if square else _Cover(cover, interpolation.pillow)
    return [resize, vision.CenterCrop(shape), *to_input(preprocessing)]


class _Cover:
    """Resizes an image, uint8 (height, width, 3), to the least size that covers a rectangle; MindSpore has no such
    operation."""

    def __init__(self, shape: list[int], resample: Image.Resampling) -> None:
        self.shape = shape
        self.resample = resample

    def __call__(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        factor = max(self.shape[0] / height, self.shape[1] / width)
        size = max(self.shape[1], round(width * factor)), max(self.shape[0], round(height * factor))
        return np.asarray(Image.fromarray(image).resize(size, self.resample))


def to_input(preprocessing: Preprocessing) -> list:
    """Normalisation, then channels first: uint8 (height, width, 3) to float32 (3, height, width)."""
    mean = [255.0 * value for value in preprocessing.mean]
    std = [255.0 * value for value in preprocessing.std]
    return [vision.Normalize(mean=mean, std=std), vision.HWC2CHW()]
