"""The operations that the policies choose from, each a function of an image and of how much.

They are those of AutoAugment (Cubuk et al., 2019) without SamplePairing and Cutout, and with SolarizeAdd. Pillow
computes the pixels, as for the published accuracies.
"""

from collections.abc import Callable

from PIL import Image, ImageEnhance, ImageOps

Fill = tuple[int, int, int]


def operate(name: str, image: Image.Image, amount: float, fill: Fill, resample: Image.Resampling) -> Image.Image:
    """Applies one operation.

    Args:
        name: one of ``OPERATIONS``.
        image: RGB.
        amount: degrees anticlockwise for Rotate; the tangent of the angle for ShearX and ShearY; pixels to the right
            or down for TranslateX and TranslateY; the enhancement factor less 1 for Brightness, Color, Contrast and
            Sharpness; bits kept for Posterize (0 to 8); the least value inverted for Solarize; what is added to
            values below 128 for SolarizeAdd; of no effect for the others.
        fill: colour of the pixels that come from outside the image.
        resample: the filter of Rotate, the shears and the translations.
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
    # Every filter moves whole pixels without changing them; this one does so 70 times as fast as the bicubic.
    return Image.Resampling.NEAREST if float(pixels).is_integer() else resample


def _rotate(image: Image.Image, degrees: float, fill: Fill, resample: Image.Resampling) -> Image.Image:
    return image.rotate(degrees, resample, fillcolor=fill)


def _posterize(image: Image.Image, bits: float, *_) -> Image.Image:
    # Not ImageOps.posterize: it refuses 0 bits, which RandAugment's magnitude 10 asks for.
    mask = 256 - (1 << (8 - int(bits)))
    return image.point([value & mask for value in range(256)] * 3)


def _solarize(image: Image.Image, threshold: float, *_) -> Image.Image:
    return image.point([value if value < threshold else 255 - value for value in range(256)] * 3)


def _solarize_add(image: Image.Image, amount: float, *_) -> Image.Image:
    return image.point([min(255, value + int(amount)) if value < 128 else value for value in range(256)] * 3)


def _enhance(kind: type) -> Callable[..., Image.Image]:
    return lambda image, change, *_: kind(image).enhance(1.0 + change)


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
