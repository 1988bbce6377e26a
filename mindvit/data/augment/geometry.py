"""Random crops and flips."""

import math

import numpy as np
from PIL import Image

_MAX_TRIES = 10


def random_resized_crop_box(
    width: int, height: int, scale: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draws the crop of "Going deeper with convolutions" (Szegedy et al., 2015), like torchvision.

    If none of ten crops fits into the image, the result is the largest center crop with an aspect ratio in ``ratio``.

    Args:
        width: width of the image, in pixels.
        height: height of the image, in pixels.
        scale: minimum and maximum area of the crop, as fractions of the image area; uniform.
        ratio: minimum and maximum aspect ratio (width / height) of the crop; log-uniform.
        rng: random number generator.

    Returns:
        left, top, width and height of the crop, in pixels.
    """
    low, high = ratio
    for _ in range(_MAX_TRIES):
        area = rng.uniform(*scale) * width * height
        aspect = math.exp(rng.uniform(math.log(low), math.log(high)))
        crop_width, crop_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left, top = rng.integers(width - crop_width + 1), rng.integers(height - crop_height + 1)
            return int(left), int(top), crop_width, crop_height
    crop_width, crop_height = width, height
    if width < low * height:
        crop_height = max(1, round(width / low))
    elif width > high * height:
        crop_width = max(1, round(height * high))
    return (width - crop_width) // 2, (height - crop_height) // 2, crop_width, crop_height


def crop_and_resize(
    image: Image.Image, box: tuple[int, int, int, int], shape: tuple[int, int], resample: Image.Resampling
) -> Image.Image:
    """Crops a box, left, top, right and bottom in pixels, and resizes it to ``shape``: height and width."""
    # Not resize(box=...): its antialiasing filter also reads pixels outside the box. This changes the outer pixels of
    # the result (by up to 80 of 255 on noise) and saves no time.
    return image.crop(box).resize(shape[::-1], resample)


def padded_crop(
    image: Image.Image, shape: tuple[int, int], resample: Image.Resampling, rng: np.random.Generator
) -> Image.Image:
    """Pads all sides of an image with black by an eighth of the side length, and crops it at random to ``shape``.

    This is the usual crop for CIFAR (He et al., 2016): 32 pixels are padded by 4 on each side, then cropped to 32. An
    image of another size is first resized to ``shape``: height and width, in pixels.
    """
    size = shape[::-1]
    if image.size != size:
        image = image.resize(size, resample)
    padding = np.array([round(side / 8) for side in size])
    left, top = (int(shift) for shift in rng.integers(-padding, padding + 1))
    return image.crop((left, top, left + size[0], top + size[1]))  # Pixels outside the image are black.


def draw_flip(rng: np.random.Generator) -> bool:
    """Whether an image is flipped: with probability 0.5."""
    return rng.random() < 0.5


def flip(image: Image.Image) -> Image.Image:
    """Flips an image horizontally."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
