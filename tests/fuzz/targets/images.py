"""Image files of all formats, read and transformed for evaluation and training, and drawn."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mindvit.data.images import read_image
from mindvit.data.settings import AugmentSettings
from mindvit.data.transforms import EvalTransform, TrainTransform
from mindvit.models.vit_config import Preprocessing
from mindvit.visualize.annotate import annotate
from tests.fuzz.target import FileTarget

_SHAPE = (32, 32)
_EVAL = [EvalTransform(_SHAPE, Preprocessing(resize=resize)) for resize in ("timm", "squash", "mindspore")]
_TRAIN = TrainTransform(_SHAPE, Preprocessing(), AugmentSettings(flip=True))


@dataclass
class _Ranked:
    name: str = "Katze"
    label: int = 0
    id: str = "n1"
    probability: float = 0.5


def _make_seeds(folder):
    rng = np.random.default_rng(0)
    color = Image.fromarray(rng.integers(0, 256, (20, 24, 3)).astype(np.uint8)).resize((40, 30))
    gray, alpha = color.convert("L"), color.copy()
    alpha.putalpha(gray)
    wide = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    exif = color.getexif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "a camera", 72.0
    for name, image, kind, options in (
        ("jpeg", color, "JPEG", {"exif": exif}),
        ("jpeg progressive", color, "JPEG", {"progressive": True}),
        ("jpeg gray", gray, "JPEG", {}),
        ("jpeg cmyk", color.convert("CMYK"), "JPEG", {}),
        ("png", color, "PNG", {"exif": exif}),
        ("png alpha", alpha, "PNG", {}),
        ("png 16 bit", wide, "PNG", {}),
        ("png palette", color.quantize(16), "PNG", {"transparency": 3}),
        ("png 1 bit", gray.convert("1"), "PNG", {}),
        ("png narrow", gray.resize((1, 4000)), "PNG", {}),
        ("bmp", color, "BMP", {}),
        ("bmp palette", color.quantize(16), "BMP", {}),
        ("gif", color.quantize(16), "GIF", {"save_all": True, "append_images": [gray.quantize(4)]}),
        ("tiff", color, "TIFF", {}),
        ("tiff 16 bit", wide, "TIFF", {}),
        ("tiff float", Image.fromarray(np.asarray(gray).astype(np.float32) / 255), "TIFF", {}),
        ("tiff lzw", color, "TIFF", {"compression": "tiff_lzw"}),
        ("tiff deflate", wide, "TIFF", {"compression": "tiff_adobe_deflate"}),
        ("tiff jpeg", color, "TIFF", {"compression": "jpeg"}),
        ("tiff fax", gray.convert("1"), "TIFF", {"compression": "group4"}),
        ("tiff pages", color, "TIFF", {"save_all": True, "append_images": [gray]}),
        ("webp", color, "WEBP", {"exif": exif}),
        ("webp lossless", alpha, "WEBP", {"lossless": True}),
        ("webp animated", color, "WEBP", {"save_all": True, "append_images": [alpha]}),
    ):
        data = io.BytesIO()
        image.copy().save(data, kind, **options)  # Pillow keeps options in an image for its next save.
        (folder / name).mkdir()
        (folder / name / "x.jpg").write_bytes(data.getvalue())


def _check(folder):
    image = read_image(next(path for path in sorted(folder.iterdir()) if not path.is_dir()))
    assert image.mode == "RGB"
    assert image.width >= 1
    assert image.height >= 1
    for transform in _EVAL:
        _check_pixels(transform(image))
    _check_pixels(_TRAIN(image, np.random.default_rng(0)))
    drawn = annotate(np.asarray(image), [_Ranked()])
    assert max(drawn.shape) < 10_000


def _check_pixels(pixels):
    assert pixels.dtype == np.uint8
    assert pixels.shape == (*_SHAPE, 3)


IMAGES = FileTarget("images", _check, _make_seeds, blocks=4)
