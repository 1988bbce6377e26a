"""Writes a folder of 190 image files of all kinds that people have, and 10 that nobody can read.

python -m tests.data.mixed_images FOLDER writes them at the sizes of photos, for ``mindvit benchmark inference``.
"""

import io
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

READABLE, BROKEN = 190, 10
_EXIF_ORIENTATIONS = range(2, 9)
_BIG_PHOTOS = 6
_TINY = [(1, 1), (1, 90), (200, 3), (7, 5)]


def write_mixed_images(folder: Path, photo: tuple[int, int] = (96, 64), big: tuple[int, int] = (400, 300)) -> None:
    """Writes the files, in sub-folders ``good`` and ``broken``.

    Args:
        folder: an empty folder.
        photo: width and height of most images.
        big: width and height of the big photos.
    """
    (folder / "good/sub folder").mkdir(parents=True)
    (folder / "broken").mkdir()
    rng = np.random.default_rng(0)
    odd = _odd_formats()
    for index in range(READABLE):
        if index < len(odd):
            name, save = odd[index]
            save(_photo(rng, photo), folder / "good" / name)
        elif index < len(odd) + _BIG_PHOTOS:
            _photo(rng, big).save(folder / f"good/big {index}.jpg", quality=92)
        elif index < len(odd) + _BIG_PHOTOS + len(_TINY):
            _photo(rng, _TINY[index - len(odd) - _BIG_PHOTOS]).save(folder / f"good/tiny {index}.png")
        else:
            size = photo if index % 3 else photo[::-1]
            place = "good/sub folder" if index % 2 else "good"
            _photo(rng, size).save(folder / place / f"photo {index}.jpg", quality=90, progressive=index % 5 == 0)
    for name, content in _broken(_photo(rng, photo)).items():
        (folder / "broken" / name).write_bytes(content)


def _photo(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Smooth shapes and some noise, which a JPEG encoder turns into about as many bytes as those of a photo."""
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8))
    pixels = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    noise = rng.integers(-12, 13, (min(size[1], 256), min(size[0], 256), 1))
    repeats = [-(-side // part) for side, part in zip(size[::-1], noise.shape[:2], strict=True)]
    pixels = pixels + np.tile(noise, (*repeats, 1))[: size[1], : size[0]]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _odd_formats() -> list[tuple[str, Callable[[Image.Image, Path], None]]]:
    def saved(mode: str = "RGB", **options) -> Callable[[Image.Image, Path], None]:
        return lambda image, path: image.convert(mode).save(path, **options)

    def rotated(orientation: int) -> Callable[[Image.Image, Path], None]:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        return saved(exif=exif)

    def wide(image: Image.Image, path: Path) -> None:
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(path)

    def palette(image: Image.Image, path: Path) -> None:
        image.quantize(64).save(path, transparency=3)

    def transparent(image: Image.Image, path: Path) -> None:
        image = image.copy()
        image.putalpha(image.convert("L"))
        image.save(path)

    def animated(image: Image.Image, path: Path) -> None:
        image.save(path, save_all=True, append_images=[image.rotate(90)])

    def unnamed(image: Image.Image, path: Path) -> None:
        image.save(path, "PNG")

    formats: dict[str, Callable[[Image.Image, Path], None]] = {
        "cmyk.jpg": saved("CMYK"),
        "gray.JPG": saved("L", format="JPEG"),
        "16 bit.png": wide,
        "16 bit.tif": wide,
        "palette.png": palette,
        "alpha.png": transparent,
        "gray alpha.png": saved("LA"),
        "1 bit.png": saved("1"),
        "still.gif": saved("P"),
        "animated.gif": animated,
        "lossy.webp": saved(quality=80),
        "lossless.webp": saved(lossless=True),
        "alpha.webp": transparent,
        "animated.webp": animated,
        "lzw.tiff": saved(compression="tiff_lzw"),
        "deflate.tif": saved(compression="tiff_adobe_deflate"),
        "jpeg.tif": saved(compression="jpeg"),
        "fax.tif": saved("1", compression="group4"),
        "pages.tif": animated,
        "plain.bmp": saved(),
        "palette.bmp": saved("P"),
        "a png called.jpg": unnamed,
        "猫 кошка.png": saved(),
        os.fsdecode(b"caf\xe9.png"): unnamed,
        "it's [1] & {2}.jpeg": saved(),
        "=cmd()|x.png": saved(),
    }
    return [*formats.items(), *((f"rotated {value}.jpg", rotated(value)) for value in _EXIF_ORIENTATIONS)]


def _broken(photo: Image.Image) -> dict[str, bytes]:
    def encoded(image: Image.Image, kind: str, **options) -> bytes:
        data = io.BytesIO()
        image.save(data, kind, **options)
        return data.getvalue()

    jpeg, png = encoded(photo, "JPEG"), encoded(photo, "PNG")
    integers = Image.fromarray(np.asarray(photo.convert("L")).astype(np.int32))
    floats = Image.fromarray(np.asarray(photo.convert("L")).astype(np.float32))
    return {
        "empty.jpg": b"",
        "text.png": b"this is no image",
        "page.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
        "document.png": b"%PDF-1.7\n1 0 obj\n",
        "half.jpg": jpeg[: len(jpeg) // 2],
        "half.png": png[: len(png) // 2],
        "half.webp": encoded(photo, "WEBP")[:200],
        "integers.tif": encoded(integers, "TIFF"),
        "floats.tif": encoded(floats, "TIFF"),
        "bomb.png": _bomb(60_000),
    }


def _bomb(side: int) -> bytes:
    """A PNG of a few bytes that says it has side x side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


if __name__ == "__main__":
    write_mixed_images(Path(sys.argv[1]), photo=(500, 375), big=(4000, 3000))
