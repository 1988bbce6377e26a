"""Transforms from an image to the network input: random for training, deterministic for everything else."""

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


class _Interpolation(NamedTuple):
    mindspore: Inter
    pillow: Image.Resampling


# PILCUBIC is Pillow's bicubic filter with antialiasing. The published ViT accuracies were measured with it.
_INTERPOLATION = {
    "nearest": _Interpolation(Inter.NEAREST, Image.Resampling.NEAREST),
    "bilinear": _Interpolation(Inter.LINEAR, Image.Resampling.BILINEAR),
    "bicubic": _Interpolation(Inter.PILCUBIC, Image.Resampling.BICUBIC),
}


class TrainTransform:
    """Random crop, random flip, augmentation policy and color jitter, computed by Pillow.

    All random numbers come from the generator that the caller passes, so the augmentation of a sample is reproducible.
    The random operations of ``mindspore.dataset`` are not used: their random stream depends on the number of data
    workers and cannot be resumed in the middle of an epoch. (Measured: 1,030 images/s against 1,390 with two data
    workers on two cores, JPEG 500 x 375 to 224, bicubic.)

    Args:
        shape: height and width of the result, in pixels.
        preprocessing: preprocessing of the network.
        augment: augmentation settings; ``flip`` must not be None.
    """

    def __init__(self, shape: tuple[int, int], preprocessing: Preprocessing, augment: AugmentSettings) -> None:
        self.shape = shape
        self.augment = augment
        self.resample = _INTERPOLATION[preprocessing.interpolation].pillow
        fill = tuple(round(255 * value) for value in preprocessing.mean)
        self.policy = make_policy(augment, fill, self.resample)

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> np.ndarray:
        """Augments an RGB image of any size; returns uint8 (height, width, 3)."""
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
    """Resize, center crop to ``shape`` (height and width), normalization, channels first.

    The image keeps its aspect ratio and is resized to the smallest size that covers ``shape / crop_pct``. For a square
    shape, this sets the shorter side of the image.
    """
    covered = [round(side / preprocessing.crop_pct) for side in shape]
    interpolation = _INTERPOLATION[preprocessing.interpolation]
    square = shape[0] == shape[1]
    if square:
        resize = vision.Resize(covered[0], interpolation.mindspore)
    else:
        resize = _ResizeToCover(covered, interpolation.pillow)
    return [resize, vision.CenterCrop(shape), *to_input(preprocessing)]


class _ResizeToCover:
    """Resizes an image, uint8 (height, width, 3), to the smallest size that covers a rectangle, at its aspect ratio.

    MindSpore has no such operation.
    """

    def __init__(self, shape: list[int], resample: Image.Resampling) -> None:
        self.shape = shape
        self.resample = resample

    def __call__(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        factor = max(self.shape[0] / height, self.shape[1] / width)
        size = max(self.shape[1], round(width * factor)), max(self.shape[0], round(height * factor))
        return np.asarray(Image.fromarray(image).resize(size, self.resample))


def to_input(preprocessing: Preprocessing) -> list:
    """Normalization, then channels first: uint8 (height, width, 3) to float32 (3, height, width)."""
    mean = [255.0 * value for value in preprocessing.mean]
    std = [255.0 * value for value in preprocessing.std]
    return [vision.Normalize(mean=mean, std=std), vision.HWC2CHW()]
