"""Reading image files as RGB, in display orientation."""

import os
import stat
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from mindvit.errors import UserError
from mindvit.printable import printable

FORMATS = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""The formats that are decoded, with the extensions of their files. Pillow has decoders for many more; those for EPS
and PDF start other programs."""
EXTENSIONS = frozenset(chain.from_iterable(FORMATS.values()))
_ROTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What shows an image upright, by the EXIF orientation."""
_SIDEWAYS = frozenset({_ROTATIONS[orientation] for orientation in (5, 6, 7, 8)})
_ROUNDING = 1e-3
"""How far float pixels may lie outside 0 to 1."""

ScaleChoice = Callable[[tuple[int, int], bool], int]
"""Chooses the scale at which an image is decoded: 1, or 2, 4 or 8 for a half, a quarter or an eighth of its sides,
rounded up. It gets the width and height of the whole image in display orientation, and whether another scale than 1 is
possible. It may be called more than once for an image."""


class _UnsupportedPixelsError(Exception):
    """An intact image whose pixels have no defined white."""


def read_image(file: Path | BinaryIO, where: str | None = None, choose_scale: ScaleChoice | None = None) -> Image.Image:
    """Reads an image file as RGB, in display orientation, with transparent pixels blended over white.

    Pillow decodes the file. The decoder of MindSpore 2.10 ignores EXIF rotation and transparency, and does not support
    GIF and WebP. It also hangs or crashes on some corrupt JPEGs, and this cannot be caught. For intact files both
    decoders return the same pixels.

    The data type of the pixels sets what is white, never their values: 255 for 8 bits, 65,535 for 16 bits, 4,095 for 12
    bits, 1 for floats. Signed and 32-bit integers have no defined white, and are refused.

    An EXIF block that cannot be read is ignored: the image is not rotated. Of several frames the first is read. The
    maximum number of pixels is that of Pillow, 178,956,970 (twice ``PIL.Image.MAX_IMAGE_PIXELS``).

    Args:
        file: the file, or its path. A path must be of a regular file, or a link to one.
        where: name of the file in messages; by default its path.
        choose_scale: chooses the scale; None decodes the whole image. Only a JPEG can be decoded at a reduced scale:
            its decoder then computes fewer pixels, each of which is a mean of 4, 16 or 64.

    Raises:
        UserError: if the file cannot be read, is not an image of a known format, has too many pixels, float pixels
            outside 0 to 1 or pixels without a defined white, or is corrupt; the message names the file.
    """
    where = printable(str(file) if where is None else where)
    try:
        if isinstance(file, str | os.PathLike):
            check_regular(file)
        with Image.open(file, formats=list(FORMATS)) as image:
            return _to_display_rgb(image, choose_scale)
    except UserError:
        raise
    except UnidentifiedImageError:
        raise UserError(f"{where} is not an image, or its format is not one of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        limit = 2 * Image.MAX_IMAGE_PIXELS
        raise UserError(f"{where} has more than {limit:,} pixels; scale it down or remove it") from None
    except _UnsupportedPixelsError as error:
        raise UserError(f"{where} {error}") from None
    except Exception as error:  # Decoders raise exceptions of many types at corrupt content.
        if isinstance(error, OSError) and error.errno is not None:
            raise UserError(f"cannot read the image {where}: {error.strerror}") from error
        reason = printable(str(error), 200) or type(error).__name__
        raise UserError(f"{where} is corrupt: it cannot be decoded ({reason}); repair or remove it") from error


def check_regular(path: str | os.PathLike) -> None:
    """Refuses what is not a file: opening a FIFO would block, and opening a device may have effects.

    Raises:
        UserError: for a folder, a FIFO, a socket or a device.
        OSError: if there is nothing at the path.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116 (training calls this for each image)
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "FIFO, socket or device"
        raise UserError(f"cannot read the image {printable(str(path))}: it is a {kind}, not a file")


def _to_display_rgb(image: Image.Image, choose_scale: ScaleChoice | None) -> Image.Image:
    if image.format == "TIFF":
        _check_covered(image)
    is_reducible = isinstance(image, JpegImageFile)
    if choose_scale is not None and is_reducible:
        size = image.size[::-1] if _rotation(image) in _SIDEWAYS else image.size
        scale = choose_scale(size, True)
        if scale > 1:
            image.draft(None, (image.width // scale, image.height // scale))
    image.load()
    rotation = _rotation(image)
    image = _to_rgb(image)
    image = image if rotation is None else image.transpose(rotation)
    if choose_scale is not None and not is_reducible:
        choose_scale(image.size, False)
    return image


def _check_covered(image: Image.Image) -> None:
    """Refuses a TIFF whose strips or tiles end before the image does. Pillow leaves the rest black."""
    extents = [tile[1] for tile in image.tile]
    if any(max((extent[side] for extent in extents), default=0) < image.size[side - 2] for side in (2, 3)):
        raise ValueError("its strips do not cover the image")


def _rotation(image: Image.Image) -> Image.Transpose | None:
    # Not ImageOps.exif_transpose: it also writes the EXIF block again, which fails if any other tag is broken.
    try:
        return _ROTATIONS.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # Pillow raises exceptions of many types at a broken block. The pixels are intact.
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bit(image)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")  # convert() would copy an RGB image.


def _to_8_bit(image: Image.Image) -> np.ndarray:
    """Gray pixels of more than 8 bits, scaled to 8 bits by their data type. Pillow would clip them to 0 to 255."""
    tags = getattr(image, "tag_v2", {})  # Of a TIFF file.
    values = np.array(image, np.float32)
    if image.mode == "F":
        if not (values.min() >= -_ROUNDING and values.max() <= 1 + _ROUNDING):
            raise _UnsupportedPixelsError(
                f"has float pixels from {values.min():g} to {values.max():g}; floats must lie between 0 (black) and "
                "1 (white): scale them, or store 8 or 16 bits"
            )
    elif image.mode == "I" and image.format != "PNG":  # Older versions of Pillow read a 16-bit PNG in this mode.
        raise _UnsupportedPixelsError(
            "has pixels of signed or 32-bit integers, whose white is not defined; convert it to 8 or 16 bits, unsigned"
        )
    else:
        (bits,) = tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))
        values /= 2.0**bits - 1
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:  # White is zero. Pillow heeds it for 8 bits alone.
        np.subtract(1, values, out=values)
    np.multiply(values.clip(0, 1, out=values), 255, out=values)  # In place: an image may have 178 million pixels.
    return values.round(out=values).astype(np.uint8)
