"""Images with broken or unusual headers, pixels and sizes."""

import os
import struct
import zlib

import numpy as np
from PIL import Image

from tests.fuzz.corpus.case import ACCEPTED, written


def _saved(image, kind, **options):
    def write(folder):
        image.save(folder / "x.jpg", kind, **options)

    return write


def _exif(*rows):
    """An EXIF block from (tag, type, count, four bytes)."""
    packed = b"".join(struct.pack("<HHI4s", *row) for row in rows)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(rows)) + packed + bytes(4)


_GRAY = Image.fromarray(np.linspace(0, 255, 300).astype(np.uint8).reshape(15, 20))
_COLOR = _GRAY.convert("RGB")
_FLOATS = np.asarray(_GRAY).astype(np.float32)
_HEADER = struct.pack(">I4sIIBBBBB", 13, b"IHDR", 60_000, 60_000, 8, 2, 0, 0, 0)
_IMAGES = {
    "EXIF of wrong types": (ACCEPTED, _saved(_COLOR, "JPEG", exif=_exif((0x0112, 2, 2, b"6\0\0\0")))),
    "EXIF orientation out of the block": (
        ACCEPTED,
        _saved(_COLOR, "JPEG", exif=_exif((0x0112, 3, 900, b"\xff\xff\0\0"))),
    ),
    "EXIF resolution is text": (ACCEPTED, _saved(_COLOR, "JPEG", exif=_exif((0x011A, 2, 4, b"abc\0")))),
    "EXIF truncated": (ACCEPTED, _saved(_COLOR, "JPEG", exif=_exif((0x0112, 3, 1, b"\6\0\0\0"))[:20])),
    "1 x 65500": (ACCEPTED, _saved(_GRAY.resize((1, 65_500)), "JPEG")),
    "65500 x 1": (ACCEPTED, _saved(_GRAY.resize((65_500, 1)), "JPEG")),
    "EPS named jpg": ("is not an image, or its format is not one of", _saved(_COLOR, "EPS")),
    "PDF named jpg": ("is not an image, or its format is not one of", _saved(_COLOR, "PDF")),
    "TIFF of floats 0 to 1": (ACCEPTED, _saved(Image.fromarray(_FLOATS / 255), "TIFF")),
    "TIFF of floats 0 to 255": ("float pixels from 0 to 255", _saved(Image.fromarray(_FLOATS), "TIFF")),
    "TIFF of NaN": ("float pixels from nan", _saved(Image.fromarray(_FLOATS * np.float32("nan")), "TIFF")),
    "TIFF of 32-bit integers": (
        "white is not defined",
        _saved(Image.fromarray(np.asarray(_GRAY).astype(np.int32)), "TIFF"),
    ),
    "PNG of 16 bits, at most 256": (ACCEPTED, _saved(Image.fromarray(np.asarray(_GRAY).astype(np.uint16) + 1), "PNG")),
    "PNG of 60000 x 60000": (
        "more than 178,956,970 pixels",
        written(
            "x.jpg",
            b"\x89PNG\r\n\x1a\n"
            + _HEADER
            + struct.pack(">I", zlib.crc32(_HEADER[4:]))
            + struct.pack(">I4s", 10, b"IDAT")
            + bytes(14),
        ),
    ),
    "truncated JPEG": ("is corrupt", lambda folder: (_saved(_COLOR, "JPEG")(folder), _halve(folder / "x.jpg"))),
    "FIFO": ("it is a FIFO, socket or device, not a file", lambda folder: os.mkfifo(folder / "x.jpg")),
    "empty": ("is not an image", written("x.jpg", b"")),
    "text": ("is not an image", written("x.jpg", b"hello")),
}


def _halve(path):
    path.write_bytes(path.read_bytes()[:500])


TABLES = {
    "images": _IMAGES,
}
