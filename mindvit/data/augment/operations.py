"""The image operations of the augmentation policies.

They are the operations of AutoAugment (Cubuk et al., 2019) without SamplePairing and Cutout, plus SolarizeAdd. Pillow
computes the pixels, as in the training runs of the published accuracies; native kernels give the same ones.
"""

import math
from collections.abc import Callable
from typing import Any

from PIL import Image, ImageEnhance, ImageOps

from mindvit.data.native_pixels import Matrix, NativePixels

Fill = tuple[int, int, int]


def apply_op(
    name: str,
    image: Image.Image,
    amount: float,
    fill: Fill,
    resample: Image.Resampling,
    native: NativePixels | None = None,
) -> Image.Image:
    """Applies one operation.

    Args:
        name: one of ``OPERATIONS``.
        image: RGB.
        amount: degrees counterclockwise for Rotate; tangent of the angle for ShearX and ShearY; pixels to the right or
            down for TranslateX and TranslateY; enhancement factor minus 1 for Brightness, Color, Contrast and
            Sharpness; number of kept bits for Posterize (0 to 8); smallest inverted value for Solarize; addend for
            values below 128 for SolarizeAdd. The other operations ignore it.
        fill: color of the pixels from outside the image.
        resample: resampling filter of Rotate, the shears and the translations.
        native: native kernels that compute these and Sharpness in place of Pillow, with equal results; None for none.
    """
    return OPERATIONS[name](image, amount, fill, resample, native)


def _affine(
    image: Image.Image, matrix: Matrix, fill: Fill, resample: Image.Resampling, native: NativePixels | None
) -> Image.Image:
    result = native and native.transform(image, matrix, fill, resample)
    return result or image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=fill)


def _shear_x(image: Image.Image, tangent: float, *options: Any) -> Image.Image:
    return _affine(image, (1, tangent, 0, 0, 1, 0), *options)


def _shear_y(image: Image.Image, tangent: float, *options: Any) -> Image.Image:
    return _affine(image, (1, 0, 0, tangent, 1, 0), *options)


def _translate_x(
    image: Image.Image, pixels: float, fill: Fill, resample: Image.Resampling, *native: Any
) -> Image.Image:
    return _affine(image, (1, 0, -pixels, 0, 1, 0), fill, _translation_filter(pixels, resample), *native)


def _translate_y(
    image: Image.Image, pixels: float, fill: Fill, resample: Image.Resampling, *native: Any
) -> Image.Image:
    return _affine(image, (1, 0, 0, 0, 1, -pixels), fill, _translation_filter(pixels, resample), *native)


def _translation_filter(pixels: float, resample: Image.Resampling) -> Image.Resampling:
    # A shift by whole pixels is exact with every filter. NEAREST is 70 times as fast as bicubic.
    return Image.Resampling.NEAREST if float(pixels).is_integer() else resample


def _rotate(image: Image.Image, degrees: float, fill: Fill, resample: Image.Resampling, *native: Any) -> Image.Image:
    if degrees % 90 == 0:
        return image.rotate(degrees, resample, fillcolor=fill)
    # As Image.rotate: about the center, with the digits that it keeps.
    angle = -math.radians(degrees % 360.0)
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = image.width / 2, image.height / 2
    matrix = (cos, sin, cos * -x + sin * -y + x, -sin, cos, -sin * -x + cos * -y + y)
    return _affine(image, matrix, fill, resample, *native)


def _sharpness(
    image: Image.Image, change: float, fill: Fill, resample: Image.Resampling, native: NativePixels | None
) -> Image.Image:
    result = native and native.sharpen(image, 1.0 + change)
    return result or ImageEnhance.Sharpness(image).enhance(1.0 + change)


def _posterize(image: Image.Image, bits: float, *_) -> Image.Image:
    # Not ImageOps.posterize: it raises an error for 0 bits, which RandAugment uses at magnitude 10.
    mask = 256 - (1 << (8 - int(bits)))
    return image.point([value & mask for value in range(256)] * 3)


def _solarize(image: Image.Image, threshold: float, *_) -> Image.Image:
    return image.point([value if value < threshold else 255 - value for value in range(256)] * 3)


def _solarize_add(image: Image.Image, amount: float, *_) -> Image.Image:
    return image.point([min(255, value + int(amount)) if value < 128 else value for value in range(256)] * 3)


def _enhance(enhancer: type) -> Callable[..., Image.Image]:
    return lambda image, change, *_: enhancer(image).enhance(1.0 + change)


OPERATIONS: dict[str, Callable[[Image.Image, float, Fill, Image.Resampling, NativePixels | None], Image.Image]] = {
    "Identity": lambda image, *_: image,
    "AutoContrast": lambda image, *_: ImageOps.autocontrast(image),
    "Equalize": lambda image, *_: ImageOps.equalize(image),
    "Invert": lambda image, *_: ImageOps.invert(image),
    "Rotate": _rotate,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "SolarizeAdd": _solarize_add,
    "Color": _enhance(ImageEnhance.Color),
    "Contrast": _enhance(ImageEnhance.Contrast),
    "Brightness": _enhance(ImageEnhance.Brightness),
    "Sharpness": _sharpness,
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
}
