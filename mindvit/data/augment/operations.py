"""The image operations of the augmentation policies.

They are the operations of AutoAugment (Cubuk et al., 2019) without SamplePairing and Cutout, plus SolarizeAdd. Pillow
computes the pixels, as in the training runs of the published accuracies.
"""

from collections.abc import Callable

from PIL import Image, ImageEnhance, ImageOps

Fill = tuple[int, int, int]


def apply_op(name: str, image: Image.Image, amount: float, fill: Fill, resample: Image.Resampling) -> Image.Image:
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
    """
    return OPERATIONS[name](image, amount, fill, resample)


def _affine(image: Image.Image, matrix: tuple[float, ...], fill: Fill, resample: Image.Resampling) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=fill)


def _shear_x(image: Image.Image, tangent: float, fill: Fill, resample: Image.Resampling) -> Image.Image:
    return _affine(image, (1, tangent, 0, 0, 1, 0), fill, resample)


def _shear_y(image: Image.Image, tangent: float, fill: Fill, resample: Image.Resampling) -> Image.Image:
    return _affine(image, (1, 0, 0, tangent, 1, 0), fill, resample)


def _translate_x(image: Image.Image, pixels: float, fill: Fill, resample: Image.Resampling) -> Image.Image:
    return _affine(image, (1, 0, -pixels, 0, 1, 0), fill, _translation_filter(pixels, resample))


def _translate_y(image: Image.Image, pixels: float, fill: Fill, resample: Image.Resampling) -> Image.Image:
    return _affine(image, (1, 0, 0, 0, 1, -pixels), fill, _translation_filter(pixels, resample))


def _translation_filter(pixels: float, resample: Image.Resampling) -> Image.Resampling:
    # A shift by whole pixels is exact with every filter. NEAREST is 70 times as fast as bicubic.
    return Image.Resampling.NEAREST if float(pixels).is_integer() else resample


def _rotate(image: Image.Image, degrees: float, fill: Fill, resample: Image.Resampling) -> Image.Image:
    return image.rotate(degrees, resample, fillcolor=fill)


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


OPERATIONS: dict[str, Callable[[Image.Image, float, Fill, Image.Resampling], Image.Image]] = {
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
    "Sharpness": _enhance(ImageEnhance.Sharpness),
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
}
