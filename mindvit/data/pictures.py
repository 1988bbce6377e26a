"""Reading picture files so that the network sees what a person sees."""

import io
from pathlib import Path

import numpy as np
from mindspore.dataset import vision
from PIL import Image, ImageOps, UnidentifiedImageError

from mindvit.errors import UserError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})

_EXIF_ORIENTATION = 0x0112
_HEADER_BYTES = 65536
_JPEG_END = b"\xff\xd9"


def read_picture(path: Path) -> np.ndarray:
    """Reads a picture file as RGB, uint8 (height, width, 3), upright and with transparency laid over white.

    Raises:
        UserError: if the file cannot be read or is no picture.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(f"cannot read the picture {path}: {error.strerror}") from error
    data = as_seen(data, str(path))
    try:
        return vision.Decode()(data)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{path} is damaged: it begins like a picture but cannot be decoded") from error


def decoded(picture: np.ndarray, where: str) -> Image.Image:
    """An RGB picture from a file's bytes, uint8 (bytes,), or from RGB values, uint8 (height, width, 3).

    Raises:
        UserError: naming ``where`` if it cannot be decoded.
    """
    if picture.ndim == 3:
        return Image.fromarray(picture)
    try:
        return _rgb(Image.open(io.BytesIO(picture)))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{where} is damaged: it cannot be decoded; repair or remove it") from error


def as_seen(data: np.ndarray, path: str) -> np.ndarray:
    """Passes on an encoded picture that MindSpore's decoder shows as a person sees it; re-encodes any other.

    The decoder ignores EXIF rotation and transparency, and knows neither GIF nor WebP. Such pictures (few, in most
    collections) are decoded by Pillow and handed on as BMP, which loses nothing. A JPEG without its end marker is
    tried first: where one breaks off inside a marker, MindSpore 2.10's decoder hangs or crashes.

    Args:
        data: the file's bytes, uint8 (bytes,).
        path: where they come from, for messages.

    Raises:
        UserError: if they are no picture.
    """
    head = data[:_HEADER_BYTES].tobytes()
    ends = data[-2:].tobytes() == _JPEG_END
    if head.startswith(b"\xff\xd8") and ends and b"Exif\x00\x00" not in head:
        return data
    if head.startswith(b"\x89PNG") and head[25:26] in b"\x00\x02\x03" and b"tRNS" not in head:
        return data
    if head.startswith(b"BM"):
        return data
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.format in ("JPEG", "MPO") and image.getexif().get(_EXIF_ORIENTATION, 1) == 1:
                if not ends:
                    image.load()
                return data
            return encoded_bmp(np.asarray(_upright_rgb(image)))
    except UnidentifiedImageError:
        raise UserError(f"{path} is not a picture (or of a kind that cannot be read)") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be decoded: {error}") from error


def encoded_bmp(values: np.ndarray) -> np.ndarray:
    """RGB values, uint8 (height, width, 3), as the bytes of a BMP file, uint8 (bytes,)."""
    file = io.BytesIO()
    Image.fromarray(values).save(file, "BMP")
    return np.frombuffer(file.getvalue(), np.uint8)


def _upright_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data and not _is_deep(image):
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return _rgb(image)


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _rgb(image: Image.Image) -> Image.Image:
    if _is_deep(image):
        # Pillow clips values above 255 when it converts these; 16-bit pictures use the whole range.
        values = np.asarray(image, np.float32)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray((values.clip(0, top) * (255.0 / top)).round().astype(np.uint8)).convert("RGB")
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")  # Its own conversion to RGB would copy.
