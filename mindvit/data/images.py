"""Reading image files as RGB, in display orientation."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mindvit.errors import UserError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


def read_image(file: Path | BinaryIO, where: str | None = None) -> Image.Image:
    """Reads an image file as RGB, in display orientation, with transparent pixels blended over white.

    Pillow decodes the file. The decoder of MindSpore 2.10 ignores EXIF rotation and transparency, and does not support
    GIF and WebP. It also hangs or crashes on some corrupt JPEGs, and this cannot be caught. For intact files both
    decoders return the same pixels.

    Args:
        file: the file, or its path.
        where: name of the file in messages; by default its path.

    Raises:
        UserError: if the file cannot be read, is not an image, or is corrupt; the message names the file.
    """
    where = str(file) if where is None else where
    try:
        with Image.open(file) as image:
            return _to_display_rgb(image)
    except UnidentifiedImageError:
        raise UserError(f"{where} is not an image, or its format is not supported") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if getattr(error, "errno", None) is not None:
            raise UserError(f"cannot read the image {where}: {error.strerror}") from error
        raise UserError(f"{where} is corrupt: it cannot be decoded ({error}); repair or remove it") from error


def _to_display_rgb(image: Image.Image) -> Image.Image:
    ImageOps.exif_transpose(image, in_place=True)
    if image.has_transparency_data and not _is_high_bit_depth(image):
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return _to_rgb(image)


def _is_high_bit_depth(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _to_rgb(image: Image.Image) -> Image.Image:
    if _is_high_bit_depth(image):
        # Pillow would clip values above 255 here, but 16-bit images use the whole range up to 65,535.
        values = np.asarray(image, np.float32)
        white = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray((values.clip(0, white) * (255.0 / white)).round().astype(np.uint8)).convert("RGB")
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")  # convert() would copy an RGB image.
