"""Reading image files so that the network sees what a person sees."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mindvit.errors import UserError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


def read_image(file: Path | BinaryIO, where: str | None = None) -> Image.Image:
    """Reads an image file as RGB, upright and with transparency laid over white.

    Pillow decodes: MindSpore 2.10's own decoder ignores EXIF rotation and transparency, knows neither GIF nor WebP, and
    hangs or crashes on some damaged JPEGs, which nothing could catch. Of sound ones it makes the same pixels.

    Args:
        file: the file, or its path.
        where: what to call it in messages; by default its path.

    Raises:
        UserError: naming the file if it cannot be read, is no image, or is damaged.
    """
    where = str(file) if where is None else where
    try:
        with Image.open(file) as image:
            return _upright_rgb(image)
    except UnidentifiedImageError:
        raise UserError(f"{where} is not an image (or of a kind that cannot be read)") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if getattr(error, "errno", None) is not None:
            raise UserError(f"cannot read the image {where}: {error.strerror}") from error
        raise UserError(f"{where} is damaged: it cannot be decoded ({error}); repair or remove it") from error


def _upright_rgb(image: Image.Image) -> Image.Image:
    ImageOps.exif_transpose(image, in_place=True)
    if image.has_transparency_data and not _is_deep(image):
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return _rgb(image)


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _rgb(image: Image.Image) -> Image.Image:
    if _is_deep(image):
        # Pillow clips values above 255 when it converts these; 16-bit images use the whole range.
        values = np.asarray(image, np.float32)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray((values.clip(0, top) * (255.0 / top)).round().astype(np.uint8)).convert("RGB")
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")  # Its own conversion to RGB would copy.
