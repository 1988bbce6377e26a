import cv2
import numpy as np
import pytest
from PIL import Image

from mindvit.data.pictures import read_picture
from mindvit.errors import UserError

RED, GREEN, BLUE, PALE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (250, 250, 250)


@pytest.fixture
def quarters():
    """48 x 64 pixels: red, blue above green, pale."""
    values = np.empty((48, 64, 3), np.uint8)
    values[:24, :32], values[:24, 32:], values[24:, :32], values[24:, 32:] = RED, BLUE, GREEN, PALE
    return Image.fromarray(values)


def corners(picture):
    return [tuple(int(v) for v in picture[y, x]) for y, x in ((6, 6), (6, -6), (-6, 6), (-6, -6))]


def save(path, image, **options):
    image.save(path, **options)
    return read_picture(path)


def assert_shows(picture, expected):
    assert picture.dtype == np.uint8
    np.testing.assert_allclose(corners(picture), expected, atol=6)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "gif", "tiff", "webp"])
def test_every_common_format_is_read(tmp_path, quarters, ending):
    options = {"quality": 95} if ending in ("jpg", "webp") else {}
    assert_shows(save(tmp_path / f"x.{ending}", quarters, **options), [RED, BLUE, GREEN, PALE])


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_grayscale(tmp_path, quarters, ending):
    shown = save(tmp_path / f"x.{ending}", quarters.convert("L"))
    assert_shows(shown, [(76,) * 3, (29,) * 3, (150,) * 3, (250,) * 3])


def test_cmyk(tmp_path, quarters):
    assert_shows(save(tmp_path / "x.jpg", quarters.convert("CMYK"), quality=95), [RED, BLUE, GREEN, PALE])


def test_palette(tmp_path, quarters):
    palette = quarters.convert("P", palette=Image.Palette.ADAPTIVE)
    assert_shows(save(tmp_path / "x.png", palette), [RED, BLUE, GREEN, PALE])


def test_palette_with_a_transparent_colour(tmp_path, quarters):
    palette = quarters.convert("P", palette=Image.Palette.ADAPTIVE)
    red = palette.getpixel((6, 6))
    assert_shows(save(tmp_path / "x.png", palette, transparency=red), [(255,) * 3, BLUE, GREEN, PALE])


def test_alpha_lies_over_white(tmp_path, quarters):
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:24, :32] = 0
    alpha[24:, :32] = 128
    quarters.putalpha(Image.fromarray(alpha))
    assert_shows(save(tmp_path / "x.png", quarters), [(255,) * 3, BLUE, (127, 255, 127), PALE])


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_16_bit_gray(tmp_path, quarters, ending):
    values = np.asarray(quarters.convert("L")).astype(np.uint16) * 257
    shown = save(tmp_path / f"x.{ending}", Image.fromarray(values))
    assert_shows(shown, [(76,) * 3, (29,) * 3, (150,) * 3, (250,) * 3])


def test_16_bit_colour(tmp_path, quarters):
    values = np.asarray(quarters)[:, :, ::-1].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "x.png"), values)
    assert_shows(read_picture(tmp_path / "x.png"), [RED, BLUE, GREEN, PALE])


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [(3, [PALE, GREEN, BLUE, RED]), (6, [GREEN, RED, PALE, BLUE]), (8, [BLUE, PALE, RED, GREEN])],
)
def test_exif_rotation_is_followed(tmp_path, quarters, orientation, expected):
    exif = quarters.getexif()
    exif[0x0112] = orientation
    shown = save(tmp_path / "x.jpg", quarters, exif=exif, quality=95)
    assert shown.shape[:2] == ((48, 64) if orientation == 3 else (64, 48))
    assert_shows(shown, expected)


def test_a_jpeg_with_other_exif_data_is_read_as_it_is(tmp_path, quarters):
    exif = quarters.getexif()
    exif[0x010F] = "a camera"
    assert_shows(save(tmp_path / "x.jpg", quarters, exif=exif, quality=95), [RED, BLUE, GREEN, PALE])


def test_a_file_that_is_no_picture_is_named(tmp_path):
    path = tmp_path / "note.jpg"
    path.write_text("hello")
    with pytest.raises(UserError, match=r"note\.jpg is not a picture"):
        read_picture(path)


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_a_truncated_picture_is_named(tmp_path, quarters, ending):
    path = tmp_path / f"x.{ending}"
    quarters.save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=rf"x\.{ending} (is damaged|cannot be decoded|is not a picture)"):
        read_picture(path)


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "x.png").touch()
    with pytest.raises(UserError, match=r"x\.png is not a picture"):
        read_picture(tmp_path / "x.png")


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read the picture .*nowhere\.png"):
        read_picture(tmp_path / "nowhere.png")
