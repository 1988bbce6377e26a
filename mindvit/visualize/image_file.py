"""Writes drawn images to files."""

from pathlib import Path

from PIL import Image

from mindvit.data.images import FORMATS
from mindvit.errors import UserError
from mindvit.files import replacing

_OPTIONS = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}
_FORMAT_OF = {extension: name for name, extensions in FORMATS.items() for extension in extensions}


def check_image_file(path: Path) -> None:
    """Refuses a path whose extension selects no format.

    Raises:
        UserError: the message names the path.
    """
    if path.suffix.lower() not in _FORMAT_OF:
        raise UserError(f"{path} has no image file extension; use .jpg or .png")


def write_image(image: Image.Image, path: Path) -> None:
    """Writes an image, atomically.

    Args:
        image: RGB.
        path: the file; its extension selects the format.

    Raises:
        UserError: if the format cannot store an image of this size, or the file cannot be written.
    """
    check_image_file(path)
    kind = _FORMAT_OF[path.suffix.lower()]
    with replacing(path) as temporary:
        try:
            image.save(temporary, kind, **_OPTIONS.get(kind, {}))
        except OSError as error:
            if error.errno is not None:
                raise
            _refuse(image, path, error)
        except ValueError as error:  # As WebP does.
            _refuse(image, path, error)


def _refuse(image: Image.Image, path: Path, error: Exception) -> None:
    raise UserError(
        f"{path.suffix} cannot store the {image.width:,} x {image.height:,} pixels of {path}; use .png"
    ) from error
