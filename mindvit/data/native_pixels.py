"""The costly loops of a transform, in C++: resize, normalize, warp, sharpen. The results are those without it.

The code that runs without native kernels is Pillow's and MindSpore's; each function here gives the same numbers, bit by
bit. Both leave the interpreter's lock to other threads.
"""

import ctypes
from functools import cache

import numpy as np
from mindspore.dataset import vision
from PIL import Image, ImageEnhance

from mindvit.errors import UserError
from mindvit.models.vit_config import Preprocessing
from mindvit.native_kernels.kernel_library import load_kernels

Box = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""
Matrix = tuple[float, float, float, float, float, float]
"""The first two rows of an affine transform."""

_CUBIC = {Image.Resampling.BILINEAR: 0, Image.Resampling.BICUBIC: 1}
_PROBES = [(60, 40, 24, 32), (30, 41, 33, 47), (25, 90, 40, 30), (97, 93, 64, 31), (64, 40, 64, 50), (7, 5, 3, 8)]
"""Sizes of the images that Pillow and the kernels are compared on: width, height, resized width and height."""
_MATRICES = [(1, 0.3, 0, 0, 1, 0), (1, 0, 0, -0.2, 1, 0), (1, 0, 7.3, 0, 1, 0), (0.9, 0.4, -5.1, -0.4, 0.9, 9.7)]
"""Affine transforms that they are compared on: two shears, a translation, a rotation."""


class _ArrowArray(ctypes.Structure):
    """https://arrow.apache.org/docs/format/CDataInterface.html"""


_ArrowArray._fields_ = [
    *((name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]


class NativePixels:
    """Functions of the native kernels for images. Create it by ``native_pixels``.

    Args:
        library: the loaded library.
        tall_first: whether Pillow resizes the height first if it shrinks by more pixels than twice the width does
            (Pillow 13), instead of always the width.
    """

    def __init__(self, library: ctypes.CDLL, tall_first: bool) -> None:
        self._resize = library.mindvit_resize_image
        self._resize.argtypes = [ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_int] * 7, ctypes.c_void_p]
        self._normalize = library.mindvit_normalize_image
        self._normalize.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
        self._normalize.restype = None
        self._transform = library.mindvit_transform_image
        self._transform.argtypes = [
            ctypes.c_void_p,
            *[ctypes.c_int] * 2,
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_void_p,
        ]
        self._sharpen = library.mindvit_sharpen_image
        self._sharpen.argtypes = [ctypes.c_void_p, *[ctypes.c_int] * 2, ctypes.c_float, ctypes.c_void_p]
        self.tall_first = tall_first

    def resize(
        self, image: Image.Image, box: Box, shape: tuple[int, int], resample: Image.Resampling, flip: bool
    ) -> np.ndarray | None:
        """``image.crop(box).resize(...)``, mirrored if ``flip`` is set; the box lies within the image.

        Args:
            image: RGB.
            box: the part of the image.
            shape: height and width of the result.
            resample: BILINEAR or BICUBIC.
            flip: whether the result is mirrored.

        Returns:
            uint8 (height, width, 4), whose last channel has no meaning. None if Pillow must resize: for other filters,
            an image that Pillow keeps in several pieces (above 16 MB), and an extreme aspect ratio.
        """
        left, top, right, bottom = box
        width, height = right - left, bottom - top
        # Pillow 12.3 resizes what is so tall vertically first.
        if resample not in _CUBIC or height > 100 * width:
            return None
        pixels, keep = _pixels(image)
        if pixels is None:
            return None
        tall = self.tall_first and height > shape[0] and height - shape[0] > 2 * (width - shape[1])
        result = np.empty((*shape, 4), np.uint8)
        start, stride = pixels + 4 * (top * image.width + left), 4 * image.width
        options = (_CUBIC[resample], flip, tall)
        failed = self._resize(start, stride, width, height, *shape[::-1], *options, result.ctypes.data)
        del keep
        return None if failed else result

    def transform(
        self, image: Image.Image, matrix: Matrix, fill: tuple[int, int, int], resample: Image.Resampling
    ) -> Image.Image | None:
        """``image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=fill)``.

        Args:
            image: RGB.
            matrix: a to f. The pixel at (x, y) shows what is at (ax + by + c, dx + ey + f).
            fill: color of the pixels from outside the image.
            resample: BILINEAR or BICUBIC.

        Returns:
            RGB. None if Pillow must compute it: for other filters, and an image that Pillow keeps in several pieces.
        """
        pixels, keep = _pixels(image) if resample in _CUBIC else (None, None)
        if pixels is None:
            return None
        result = Image.new("RGB", image.size, fill)
        to, keep_result = _pixels(result)
        values = (ctypes.c_double * 6)(*matrix)
        failed = to is None or self._transform(pixels, *image.size, values, _CUBIC[resample], to)
        del keep, keep_result
        return None if failed else result

    def sharpen(self, image: Image.Image, factor: float) -> Image.Image | None:
        """``ImageEnhance.Sharpness(image).enhance(factor)`` of an RGB image; None if Pillow must compute it."""
        pixels, keep = _pixels(image)
        if pixels is None:
            return None
        result = Image.new("RGB", image.size, None)
        to, keep_result = _pixels(result)
        failed = to is None or self._sharpen(pixels, *image.size, factor, to)
        del keep, keep_result
        return None if failed else result

    def normalize(self, image: Image.Image | np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
        """Looks up normalized values, channels first.

        Args:
            image: RGB, or contiguous uint8 (height, width, 4), whose last channel is not read.
            table: as ``normalization_table``.
            out: where they are written, contiguous float32 (3, height, width).
        """
        if isinstance(image, Image.Image):
            (width, height), (pixels, keep) = image.size, _pixels(image)
            if pixels is None:
                keep = np.asarray(image.convert("RGBA"))
                pixels = keep.ctypes.data
        else:
            (height, width, _), pixels, keep = image.shape, image.ctypes.data, image
        if out.shape != (3, height, width) or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise ValueError(f"the result needs contiguous float32 (3, {height}, {width}), not {out.dtype} {out.shape}")
        self._normalize(pixels, height * width, table.ctypes.data, out.ctypes.data)
        del keep


@cache
def native_pixels() -> NativePixels | None:
    """The native functions; None if the kernels cannot be built here, or if Pillow resizes otherwise than they do."""
    if not hasattr(Image.Image, "__arrow_c_array__"):  # Before Pillow 11.2.
        return None
    try:
        library = ctypes.CDLL(str(load_kernels()))
    except UserError:
        return None
    for tall_first in (False, True):
        found = NativePixels(library, tall_first)
        if _agrees_with_pillow(found):
            return found
    return None


def normalization_table(preprocessing: Preprocessing) -> np.ndarray:
    """What ``vision.Normalize`` makes of each 8-bit value, float32 (3, 256)."""
    mean = [255.0 * value for value in preprocessing.mean]
    std = [255.0 * value for value in preprocessing.std]
    values = np.arange(256, dtype=np.uint8).reshape(256, 1, 1).repeat(3, axis=2)
    return np.ascontiguousarray(vision.Normalize(mean=mean, std=std)(values)[:, 0].T)


def _agrees_with_pillow(native: NativePixels) -> bool:
    return _resizes_like_pillow(native) and _augments_like_pillow(native)


def _augments_like_pillow(native: NativePixels) -> bool:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (37, 41, 3)).astype(np.uint8))
    fill = (9, 99, 199)
    pairs = [(native.sharpen(image, factor), ImageEnhance.Sharpness(image).enhance(factor)) for factor in (0.3, 1.7)]
    for matrix in _MATRICES:
        for resample in _CUBIC:
            expected = image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=fill)
            pairs.append((native.transform(image, matrix, fill, resample), expected))
    return all(
        found is not None and np.array_equal(np.asarray(found), np.asarray(expected)) for found, expected in pairs
    )


def _resizes_like_pillow(native: NativePixels) -> bool:
    rng = np.random.default_rng(0)
    for width, height, *size in _PROBES:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))
        for resample in _CUBIC:
            found = native.resize(image, (0, 0, width, height), tuple(size[::-1]), resample, False)
            if found is None or not np.array_equal(found[:, :, :3], np.asarray(image.resize(size, resample))):
                return False
    return True


def _pixels(image: Image.Image) -> tuple[int | None, object]:
    """The address of the pixels of an image, four bytes each, and the object that keeps them alive."""
    if image.readonly:  # Its memory is not Pillow's. Pillow 12 crashes when asked for its address.
        return None, None
    try:
        _, capsule = keep = image.__arrow_c_array__()
    except ValueError:  # In several pieces.
        return None, None
    array = ctypes.cast(_get_pointer(capsule, b"arrow_array"), ctypes.POINTER(_ArrowArray)).contents
    return array.children[0].contents.buffers[1], keep


_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype = ctypes.c_void_p
_get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
