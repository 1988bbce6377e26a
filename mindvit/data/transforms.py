"""From a picture to the network's input, for training and for everything else."""

from mindspore.dataset import vision
from mindspore.dataset.vision import Inter

from mindvit.data.settings import AugmentSettings
from mindvit.models.config import Preprocessing

# The bicubic filter is Pillow's, with antialiasing, which the published ViT accuracies were measured with.
_INTERPOLATION = {"nearest": Inter.NEAREST, "bilinear": Inter.LINEAR, "bicubic": Inter.PILCUBIC}


def train_transforms(image_size: int, pictures: Preprocessing, augment: AugmentSettings, encoded: bool) -> list:
    """Random crop of random size and shape, resized; random flip; normalisation; channels first.

    Args:
        image_size: side of the result, in pixels.
        pictures: how the network wants its pictures.
        augment: how they are varied; ``flip`` must be settled.
        encoded: whether the transforms begin with a file's bytes rather than with RGB values.
    """
    crop_class = vision.RandomCropDecodeResize if encoded else vision.RandomResizedCrop
    crop = crop_class(image_size, augment.crop_scale, augment.crop_ratio, _INTERPOLATION[pictures.interpolation])
    flips = [vision.RandomHorizontalFlip()] if augment.flip else []
    return [crop, *flips, *_to_input(pictures)]


def eval_transforms(image_size: int, pictures: Preprocessing, encoded: bool) -> list:
    """Resize of the shorter side to ``image_size / crop_pct``, central crop, normalisation, channels first."""
    decode = [vision.Decode()] if encoded else []
    resize = vision.Resize(round(image_size / pictures.crop_pct), _INTERPOLATION[pictures.interpolation])
    return [*decode, resize, vision.CenterCrop(image_size), *_to_input(pictures)]


def _to_input(pictures: Preprocessing) -> list:
    mean = [255.0 * value for value in pictures.mean]
    std = [255.0 * value for value in pictures.std]
    return [vision.Normalize(mean=mean, std=std), vision.HWC2CHW()]
