import io
import os
import socket
import struct

import cv2
import numpy as np
import pytest
from mindspore.dataset import vision
from PIL import Image, JpegImagePlugin

from mindvit.data import images
from mindvit.data.folder import open_folder, open_unlabelled
from mindvit.errors import UserError

RED, GREEN, BLUE, PALE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (250, 250, 250)


@pytest.fixture
def quadrants():
    """48 x 64 pixels: red, blue above green, pale."""
    values = np.empty((48, 64, 3), np.uint8)
    values[:24, :32], values[:24, 32:], values[24:, :32], values[24:, 32:] = RED, BLUE, GREEN, PALE
    return Image.fromarray(values)


def corners(image):
    return [tuple(int(v) for v in image[y, x]) for y, x in ((6, 6), (6, -6), (-6, 6), (-6, -6))]


def read_image(*arguments):
    return np.asarray(images.read_image(*arguments))


def save(path, image, **options):
    image.save(path, **options)
    return read_image(path)


def assert_shows(image, expected):
    assert image.dtype == np.uint8
    np.testing.assert_allclose(corners(image), expected, atol=6)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "gif", "tiff", "webp"])
def test_every_common_format_is_read(tmp_path, quadrants, ending):
    options = {"quality": 95} if ending in ("jpg", "webp") else {}
    assert_shows(save(tmp_path / f"x.{ending}", quadrants, **options), [RED, BLUE, GREEN, PALE])


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_grayscale(tmp_path, quadrants, ending):
    shown = save(tmp_path / f"x.{ending}", quadrants.convert("L"))
    assert_shows(shown, [(76,) * 3, (29,) * 3, (150,) * 3, (250,) * 3])


def test_cmyk(tmp_path, quadrants):
    assert_shows(save(tmp_path / "x.jpg", quadrants.convert("CMYK"), quality=95), [RED, BLUE, GREEN, PALE])


def test_palette(tmp_path, quadrants):
    palette = quadrants.convert("P", palette=Image.Palette.ADAPTIVE)
    assert_shows(save(tmp_path / "x.png", palette), [RED, BLUE, GREEN, PALE])


def test_palette_with_a_transparent_color(tmp_path, quadrants):
    palette = quadrants.convert("P", palette=Image.Palette.ADAPTIVE)
    red = palette.getpixel((6, 6))
    assert_shows(save(tmp_path / "x.png", palette, transparency=red), [(255,) * 3, BLUE, GREEN, PALE])


def test_alpha_is_blended_over_white(tmp_path, quadrants):
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:24, :32] = 0
    alpha[24:, :32] = 128
    quadrants.putalpha(Image.fromarray(alpha))
    assert_shows(save(tmp_path / "x.png", quadrants), [(255,) * 3, BLUE, (127, 255, 127), PALE])


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_16_bit_gray(tmp_path, quadrants, ending):
    values = np.asarray(quadrants.convert("L")).astype(np.uint16) * 257
    shown = save(tmp_path / f"x.{ending}", Image.fromarray(values))
    assert_shows(shown, [(76,) * 3, (29,) * 3, (150,) * 3, (250,) * 3])


def test_16_bit_color(tmp_path, quadrants):
    values = np.asarray(quadrants)[:, :, ::-1].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "x.png"), values)
    assert_shows(read_image(tmp_path / "x.png"), [RED, BLUE, GREEN, PALE])


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [(3, [PALE, GREEN, BLUE, RED]), (6, [GREEN, RED, PALE, BLUE]), (8, [BLUE, PALE, RED, GREEN])],
)
def test_exif_rotation_is_applied(tmp_path, quadrants, orientation, expected):
    exif = quadrants.getexif()
    exif[0x0112] = orientation
    shown = save(tmp_path / "x.jpg", quadrants, exif=exif, quality=95)
    assert shown.shape[:2] == ((48, 64) if orientation == 3 else (64, 48))
    assert_shows(shown, expected)


def test_a_jpeg_with_other_exif_data_is_read_unchanged(tmp_path, quadrants):
    exif = quadrants.getexif()
    exif[0x010F] = "a camera"
    assert_shows(save(tmp_path / "x.jpg", quadrants, exif=exif, quality=95), [RED, BLUE, GREEN, PALE])


def exif_block(*entries):
    """An EXIF block from (tag, type, count, four bytes)."""
    rows = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + rows + bytes(4)


SHORT, ASCII, UNDEFINED = 3, 2, 7
ROTATED = (0x0112, SHORT, 1, struct.pack("<HH", 6, 0))
RESOLUTION_AS_TEXT = (0x011A, ASCII, 4, b"abc\0")
BROKEN_EXIF = {
    "no header": b"Exif\0\0" + bytes(range(40)),
    "truncated": exif_block(ROTATED)[:20],
    "orientation is text": exif_block((0x0112, ASCII, 2, b"6\0\0\0")),
    "orientation is out of the block": exif_block((0x0112, SHORT, 900, b"\xff\xff\0\0")),
    "empty orientation": exif_block((0x0112, SHORT, 0, bytes(4))),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Tag data larger")
@pytest.mark.parametrize("block", BROKEN_EXIF.values(), ids=BROKEN_EXIF)
def test_an_image_with_a_broken_exif_block_is_read_unrotated(tmp_path, quadrants, block):
    shown = save(tmp_path / "x.jpg", quadrants, exif=block, quality=95)
    assert_shows(shown, [RED, BLUE, GREEN, PALE])


def test_a_broken_exif_tag_does_not_prevent_the_rotation(tmp_path, quadrants):
    shown = save(tmp_path / "x.jpg", quadrants, exif=exif_block(ROTATED, RESOLUTION_AS_TEXT), quality=95)
    assert_shows(shown, [GREEN, RED, PALE, BLUE])


@pytest.mark.parametrize(
    "error",
    [TypeError, struct.error, KeyError, ZeroDivisionError, OverflowError, MemoryError, RecursionError, EOFError],
)
def test_whatever_a_decoder_raises_names_the_file(tmp_path, quadrants, monkeypatch, error):
    def load(image):
        raise error

    quadrants.save(tmp_path / "x.jpg")
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", load)
    with pytest.raises(UserError, match=rf"x\.jpg is corrupt: it cannot be decoded \({error.__name__}\)"):
        read_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("kind", ["FIFO", "socket", "device", "folder"])
def test_what_is_not_a_file_is_refused_and_never_opened(tmp_path, monkeypatch, kind):
    path = tmp_path / "x.jpg"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)  # The path of a socket has at most 107 bytes.
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(UserError, match=r"cannot read the image .*x\.jpg: it is a .*not a file"):
        read_image(path)


def test_a_fifo_in_a_data_folder_is_listed_and_refused(make_folder):
    root = make_folder(splits=("train",))
    os.mkfifo(root / "train/cat/0.jpg")
    for split in (open_folder(root).train, open_unlabelled(root)):
        index = next(index for index in range(len(split)) if split.describe(index).endswith("0.jpg"))
        with pytest.raises(UserError, match=r"cat/0\.jpg: it is a FIFO"):
            split.read(index)


def test_a_link_to_a_file_is_read(tmp_path, quadrants):
    quadrants.save(tmp_path / "x.png")
    (tmp_path / "link.png").symlink_to("x.png")
    assert_shows(read_image(tmp_path / "link.png"), [RED, BLUE, GREEN, PALE])


def test_other_formats_are_not_decoded(tmp_path, quadrants):
    """Pillow reads these formats; it starts Ghostscript for EPS."""
    for kind in ("EPS", "PPM", "TGA", "ICO", "PCX", "JPEG2000", "PDF"):
        path = tmp_path / "x.jpg"
        quadrants.save(path, kind)
        with pytest.raises(UserError, match=r"x\.jpg is not an image, or its format is not one of JPEG, PNG, BMP"):
            read_image(path)


def test_an_image_with_too_many_pixels_is_refused(tmp_path, quadrants, monkeypatch):
    quadrants.save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    with pytest.raises(UserError, match=r"x\.png has more than 3,000 pixels"):
        read_image(tmp_path / "x.png")


def test_a_name_cannot_control_the_terminal(tmp_path):
    with pytest.raises(UserError) as raised:
        read_image(tmp_path / "a\x1b[2J\n\udcff.png")
    assert str(raised.value).isprintable()


def tiff(bits, pixels, photometric=1, sample_format=1):
    """A TIFF file with one row of gray pixels."""
    rows = {256: (4, 2), 257: (4, 1), 258: (3, bits), 259: (3, 1), 262: (3, photometric), 273: (4, 134), 277: (3, 1)}
    rows |= {278: (4, 1), 279: (4, len(pixels)), 339: (3, sample_format)}
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in rows.items())
    return io.BytesIO(b"II*\0" + struct.pack("<IH", 8, len(rows)) + entries + bytes(4) + pixels)


UNSIGNED, SIGNED, FLOAT = 1, 2, 3
GRAYS = {
    "16 bits": (tiff(16, struct.pack("<2H", 257 * 100, 0)), (100, 0)),
    "16 bits, dark": (tiff(16, struct.pack("<2H", 256, 200)), (1, 1)),
    "16 bits, white is zero": (tiff(16, struct.pack("<2H", 257 * 100, 0), 0), (155, 255)),
    "12 bits": (tiff(12, bytes([0xFF, 0xF8, 0x00])), (255, 128)),
    "float": (tiff(32, struct.pack("<2f", 0.2, 1.0), sample_format=FLOAT), (51, 255)),
    "float, dark": (tiff(32, struct.pack("<2f", 0.0, 1 / 255), sample_format=FLOAT), (0, 1)),
    "float, rounded": (tiff(32, struct.pack("<2f", -1e-7, 1.0001), sample_format=FLOAT), (0, 255)),
    "float, white is zero": (tiff(32, struct.pack("<2f", 0.2, 1.0), 0, FLOAT), (204, 0)),
}


@pytest.mark.parametrize(("file", "expected"), GRAYS.values(), ids=GRAYS)
def test_the_data_type_and_not_the_content_sets_what_is_white(file, expected):
    assert read_image(file)[0].tolist() == [[value] * 3 for value in expected]


UNDEFINED_WHITE = {
    "float to 255": (tiff(32, struct.pack("<2f", 0.0, 255.0), sample_format=FLOAT), "float pixels from 0 to 255"),
    "float below 0": (tiff(32, struct.pack("<2f", -1.0, 1.0), sample_format=FLOAT), "float pixels from -1 to 1"),
    "not a number": (tiff(32, struct.pack("<2f", 0.0, float("nan")), sample_format=FLOAT), "float pixels from nan"),
    "16 bits, signed": (tiff(16, struct.pack("<2h", -5, 5), sample_format=SIGNED), "signed or 32-bit integers"),
    "32 bits": (tiff(32, struct.pack("<2I", 0, 5)), "signed or 32-bit integers"),
}


@pytest.mark.parametrize(("file", "words"), UNDEFINED_WHITE.values(), ids=UNDEFINED_WHITE)
def test_pixels_without_a_defined_white_are_refused(file, words):
    with pytest.raises(UserError, match=rf"x\.tif has {words}|x\.tif has pixels of {words}"):
        read_image(file, "x.tif")


def test_a_tiff_whose_strips_do_not_cover_it_is_refused():
    content = bytearray(tiff(16, bytes(4)).getvalue())
    height = content.index(struct.pack("<HHII", 257, 4, 1, 1))
    content[height : height + 12] = struct.pack("<HHII", 257, 4, 1, 100)
    with pytest.raises(UserError, match=r"x is corrupt: .*do not cover"):
        read_image(io.BytesIO(content), "x")


def test_a_file_that_is_not_an_image_is_reported(tmp_path):
    path = tmp_path / "note.jpg"
    path.write_text("hello")
    with pytest.raises(UserError, match=r"note\.jpg is not an image"):
        read_image(path)


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_a_truncated_image_is_reported(tmp_path, quadrants, ending):
    path = tmp_path / f"x.{ending}"
    quadrants.save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=rf"x\.{ending} (is corrupt|is not an image)"):
        read_image(path)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": Image.Exif()}])
def test_a_jpeg_truncated_at_any_byte_is_refused(quadrants, options):
    if "exif" in options:
        options["exif"][0x010F] = "a camera"
    file = io.BytesIO()
    quadrants.save(file, "JPEG", **options)
    data = file.getvalue()
    read_image(io.BytesIO(data))
    for length in range(1, len(data)):
        with pytest.raises(UserError, match=r"folder/7 (is not an image|is corrupt)"):
            read_image(io.BytesIO(data[:length]), "folder/7")


def test_a_jpeg_with_trailing_bytes_is_read_unchanged(tmp_path, quadrants):
    path = tmp_path / "x.jpg"
    quadrants.save(path, quality=95)
    path.write_bytes(path.read_bytes() + bytes(100))
    assert_shows(read_image(path), [RED, BLUE, GREEN, PALE])


def test_an_empty_file_is_reported(tmp_path):
    (tmp_path / "x.png").touch()
    with pytest.raises(UserError, match=r"x\.png is not an image"):
        read_image(tmp_path / "x.png")


def test_a_missing_image_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"cannot read the image .*nowhere\.png"):
        read_image(tmp_path / "nowhere.png")


@pytest.mark.parametrize("kind", ["gray", "gray 16 bit", "1 bit", "palette", "color 16 bit", "jpeg", "cmyk jpeg"])
def test_pixels_equal_those_of_the_mindspore_decoder(tmp_path, quadrants, kind):
    values = np.asarray(quadrants.resize((30, 20), Image.Resampling.BICUBIC))
    path = tmp_path / ("x.jpg" if "jpeg" in kind else "x.png")
    if kind == "color 16 bit":
        cv2.imwrite(str(path), values.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(values)
        other = {
            "gray": lambda: image.convert("L"),
            "gray 16 bit": lambda: Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257),
            "1 bit": lambda: image.convert("1"),
            "palette": lambda: image.convert("P"),
            "cmyk jpeg": lambda: image.convert("CMYK"),
        }
        other.get(kind, lambda: image)().save(path)
    shown = read_image(path).astype(int)
    assert shown.std() > 30
    np.testing.assert_allclose(shown, vision.Decode()(np.fromfile(path, np.uint8)), atol=1)


@pytest.mark.parametrize("marker", [b"\xff\xc0", b"\xff\xdb"])
def test_a_jpeg_that_crashes_the_mindspore_decoder_is_refused(quadrants, marker):
    """The frame header or the tables are missing, and the end marker is intact."""
    file = io.BytesIO()
    quadrants.save(file, "JPEG")
    corrupt = file.getvalue().replace(marker, b"\xff\xfe")  # A comment segment replaces it.
    with pytest.raises(UserError, match=r"folder/7 is corrupt|folder/7 is not an image"):
        read_image(io.BytesIO(corrupt), "folder/7")
