"""Transforms from an image to the network input: random for training, deterministic for everything else."""

import math

import numpy as np
from mindspore.dataset import vision
from mindspore.dataset.transforms import Compose
from mindspore.dataset.vision import Inter
from PIL import Image

from mindvit.data.augment.color import color_jitter
from mindvit.data.augment.geometry import crop_and_resize, draw_flip, flip, padded_crop, random_resized_crop_box
from mindvit.data.augment.policies import make_policy
from mindvit.data.native_pixels import Box, NativePixels, normalization_table
from mindvit.data.settings import AugmentSettings
from mindvit.models.vit_config import Preprocessing

# Pillow's filters widen with the scale, so shrinking is antialiased. MindSpore's do not, as those of OpenCV.
_PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
_MINDSPORE = {"nearest": Inter.NEAREST, "bilinear": Inter.BILINEAR, "bicubic": Inter.BICUBIC}
_MAX_ASPECT_RATIO = 64
_SCALES = (8, 4, 2)
"""Scales at which a JPEG can be decoded, beside 1."""


class TrainTransform:
    """Random crop, random flip, augmentation policy and color jitter, computed by Pillow.

    All random numbers come from the generator that the caller passes, so the augmentation of a sample is reproducible.
    The random operations of ``mindspore.dataset`` are not used: their random stream depends on the number of data
    workers and cannot be resumed in the middle of an epoch.

    Args:
        shape: height and width of the result, in pixels.
        preprocessing: preprocessing of the network.
        augment: augmentation settings; ``flip`` must not be None.
        native: native kernels that resize and normalize in place of Pillow and MindSpore, with equal results; None for
            none.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        preprocessing: Preprocessing,
        augment: AugmentSettings,
        native: NativePixels | None = None,
    ) -> None:
        self.shape = shape
        self.augment = augment
        self.native = native
        self.resample = _PILLOW[preprocessing.interpolation]
        fill = tuple(round(255 * value) for value in preprocessing.mean)
        self.policy = make_policy(augment, fill, self.resample, native)
        self.table = normalization_table(preprocessing)

    def draw_crop(
        self, size: tuple[int, int], rng: np.random.Generator, is_reducible: bool = False
    ) -> tuple[Box | None, int]:
        """Draws the random crop of an image before it is decoded.

        The crop is drawn for the whole image. It is decoded at the smallest scale at which the crop still has at least
        as many rows and columns as the result, so nothing is enlarged that was large enough. The edges of the crop are
        rounded to whole pixels of that scale.

        Args:
            size: width and height of the whole image.
            rng: the generator, which is then passed to the call.
            is_reducible: whether the image can be decoded at a reduced scale.

        Returns:
            The crop for the call, and the scale: 1, 2, 4 or 8. The crop is left, top, right and bottom in pixels of the
            decoded image; None for a padded crop, which is drawn later.
        """
        if self.augment.crop == "padded":
            return None, 1
        left, top, width, height = random_resized_crop_box(*size, self.augment.crop_scale, self.augment.crop_ratio, rng)
        box = left, top, left + width, top + height
        for scale in _SCALES if is_reducible else ():
            reduced = tuple(round(edge / scale) for edge in box)
            if reduced[2] - reduced[0] >= self.shape[1] and reduced[3] - reduced[1] >= self.shape[0]:
                return reduced, scale
        return box, 1

    def __call__(self, image: Image.Image, rng: np.random.Generator, box: Box | None = None) -> np.ndarray:
        """Augments an RGB image of any size.

        Args:
            image: the image, as it was decoded.
            rng: the generator of the sample.
            box: what ``draw_crop`` returned; None draws it now.

        Returns:
            uint8 (height, width, 3).
        """
        return np.asarray(self._augmented(image, rng, box))[:, :, :3]

    def normalized(self, image: Image.Image, out: np.ndarray, rng: np.random.Generator, box: Box | None = None) -> None:
        """Augments and normalizes an RGB image of any size.

        Args:
            image: as in a call, and so are ``rng`` and ``box``.
            out: where the result is written, contiguous float32 (3, height, width): what ``to_input`` makes of the
                result of a call.
        """
        augmented = self._augmented(image, rng, box)
        if self.native is not None:
            self.native.normalize(augmented, self.table, out)
        else:
            _look_up(augmented, self.table, out)

    def _augmented(self, image: Image.Image, rng: np.random.Generator, box: Box | None) -> Image.Image | np.ndarray:
        image = self._cropped(image, rng, box)
        if self.policy is None and not self.augment.color_jitter:
            return image
        if isinstance(image, np.ndarray):
            image = Image.frombytes("RGB", self.shape[::-1], image, "raw", "RGBX")
        if self.policy is not None:
            image = self.policy(image, rng)
        if self.augment.color_jitter:
            image = color_jitter(image, self.augment.color_jitter, rng)
        return image

    def _cropped(self, image: Image.Image, rng: np.random.Generator, box: Box | None) -> Image.Image | np.ndarray:
        """The random crop, flipped at random: an image, or the uint8 (height, width, 4) of a native kernel."""
        augment = self.augment
        if augment.crop == "padded":
            image = padded_crop(image, self.shape, self.resample, rng)
            return flip(image) if augment.flip and draw_flip(rng) else image
        if box is None:
            box, _ = self.draw_crop(image.size, rng)
        flips = augment.flip and draw_flip(rng)
        resized = self.native and self.native.resize(image, box, self.shape, self.resample, flips)
        if resized is not None:
            return resized
        image = crop_and_resize(image, box, self.shape, self.resample)
        return flip(image) if flips else image


class EvalTransform:
    """Resize and center crop of evaluation, as the library that ``preprocessing.resize`` names.

    The image is resized so that it covers ``floor(shape / crop_pct)``, and its center is cropped.

    - ``timm``: the aspect ratio is kept, and Pillow resizes. The pixels are those of torchvision's ``Resize`` and
      ``CenterCrop``, which timm and the presets of torchvision use, and for a rectangle those of timm's
      ``ResizeKeepRatio``.
    - ``squash``: each side is resized by itself, and Pillow resizes. The pixels are those of timm's crop mode squash,
      and of the image processors of Transformers' ViT (``crop_pct`` 1) and DeiT.
    - ``mindspore``: the aspect ratio is kept, and MindSpore's ``Resize`` and ``CenterCrop`` are used, as in MindSpore's
      tutorial and MindCV. ``Resize`` does not antialias.

    Args:
        shape: height and width of the result, in pixels.
        preprocessing: preprocessing of the network.
    """

    def __init__(self, shape: tuple[int, int], preprocessing: Preprocessing) -> None:
        self.shape = shape
        self.covered = tuple(math.floor(side / preprocessing.crop_pct) for side in shape)
        self.interpolation = preprocessing.interpolation
        self.table = normalization_table(preprocessing)
        self.transform = {"timm": self._timm, "squash": self._squash, "mindspore": self._mindspore}[
            preprocessing.resize
        ]

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Transforms an RGB image of any size; returns uint8 (height, width, 3)."""
        return self.transform(image)

    def normalized(self, image: Image.Image, out: np.ndarray) -> None:
        """Transforms and normalizes an RGB image of any size.

        Args:
            image: the image.
            out: where the result is written, float32 (3, height, width): what ``to_input`` makes of the result of a
                call.
        """
        _look_up(self(image), self.table, out)

    def crop_box(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """The area of an image that the network sees: left, top, right and bottom, in pixels of the image.

        Args:
            size: height and width of the image.
        """
        cut = (0, 0) if self.transform == self._squash else _cut(size, self.covered)
        trimmed = tuple(side - 2 * ends for side, ends in zip(size, cut, strict=True))
        resized = self.covered if self.transform == self._squash else _covering_size(trimmed, self.covered)
        starts, ends = [], []
        for side, before, whole, shown in zip(trimmed, cut, resized, self.shape, strict=True):
            start = round((whole - shown) / 2)
            starts.append(before + start * side / whole)
            ends.append(before + min(start + shown, whole) * side / whole)
        return starts[1], starts[0], ends[1], ends[0]

    def _timm(self, image: Image.Image) -> np.ndarray:
        image = _trim(image, self.covered)
        return self._resize_and_crop(image, _covering_size((image.height, image.width), self.covered))

    def _squash(self, image: Image.Image) -> np.ndarray:
        return self._resize_and_crop(image, self.covered)

    def _resize_and_crop(self, image: Image.Image, size: tuple[int, int]) -> np.ndarray:
        resized = image.resize(size[::-1], _PILLOW[self.interpolation])
        height, width = self.shape
        # As torchvision's CenterCrop: a half pixel is rounded to the even offset.
        top, left = round((size[0] - height) / 2), round((size[1] - width) / 2)
        return np.asarray(resized.crop((left, top, left + width, top + height)))

    def _mindspore(self, image: Image.Image) -> np.ndarray:
        image, size = _trim(image, self.covered), self.covered[0]
        if self.covered[0] != self.covered[1]:
            size = _covering_size((image.height, image.width), self.covered)
        resized = vision.Resize(size, _MINDSPORE[self.interpolation])(np.asarray(image))
        return vision.CenterCrop(self.shape)(resized)


def _covering_size(size: tuple[int, int], covered: tuple[int, int]) -> tuple[int, int]:
    """The smallest height and width with the aspect ratio of ``size`` that cover a rectangle."""
    if covered[0] == covered[1]:
        # As torchvision's Resize: the longer side is rounded down.
        shorter = min(size)
        return tuple(covered[0] if side == shorter else int(covered[0] * side / shorter) for side in size)
    # As timm's ResizeKeepRatio: both sides are rounded.
    ratio = min(side / target for side, target in zip(size, covered, strict=True))
    return tuple(round(side / ratio) for side in size)


def _trim(image: Image.Image, covered: tuple[int, int]) -> Image.Image:
    """Cuts off the ends of an image with an extreme aspect ratio, which the center crop removes anyway.

    So memory is bounded: an image of 1 x 65,500 pixels, resized to cover 256 x 256, would take 12 GB.
    """
    cut = _cut((image.height, image.width), covered)
    return image.crop((cut[1], cut[0], image.width - cut[1], image.height - cut[0])) if any(cut) else image


def _cut(size: tuple[int, int], covered: tuple[int, int]) -> tuple[int, int]:
    """Pixels that ``_trim`` cuts off at the top and at the left. At the other end it cuts off as many."""
    scale = max(target / side for side, target in zip(size, covered, strict=True))
    limits = [math.ceil(_MAX_ASPECT_RATIO * target / scale) for target in covered]
    # The same number of pixels is cut off at both ends, so that the center stays where it is.
    return tuple(max(side - limit, 0) // 2 for side, limit in zip(size, limits, strict=True))


def eval_input(image: Image.Image, shape: tuple[int, int], preprocessing: Preprocessing) -> np.ndarray:
    """The network input of one RGB image in evaluation, float32 (3, height, width)."""
    return Compose(to_input(preprocessing))(EvalTransform(shape, preprocessing)(image))


def _look_up(pixels: Image.Image | np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """Writes the value in ``table`` of each 8-bit value to ``out``, channels first."""
    pixels = np.asarray(pixels)
    for channel, values in enumerate(table):
        np.take(values, pixels[:, :, channel], out=out[channel], mode="clip")  # Other modes need a buffer.


def to_input(preprocessing: Preprocessing) -> list:
    """Normalization, then channels first: uint8 (height, width, 3) to float32 (3, height, width)."""
    mean = [255.0 * value for value in preprocessing.mean]
    std = [255.0 * value for value in preprocessing.std]
    return [vision.Normalize(mean=mean, std=std), vision.HWC2CHW()]
