import io

import cv2
import numpy as np
import pytest
from mindspore.dataset import vision
from PIL import Image

from mindvit.data import images
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
