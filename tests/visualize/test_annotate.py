from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from mindvit.errors import UserError
from mindvit.visualize import fonts
from mindvit.visualize.annotate import annotate, write_annotated_image
from mindvit.visualize.image_file import write_image


@dataclass
class Row:
    label: int
    name: str
    probability: float
    id: str = "n02107142"


ROWS = [Row(0, "Doberman", 0.75), Row(1, "café au lait", 0.2), Row(2, "狗", 0.05)]


@pytest.mark.parametrize("size", [(8, 8), (60, 40), (300, 200), (480, 640), (3000, 4000), (2000, 50), (30, 1500)])
def test_the_text_is_legible_and_the_image_complete_at_every_size(size):
    image = np.full((*size, 3), (200, 30, 30), np.uint8)
    drawn = annotate(image, ROWS)
    side = max(*size, 480)
    rows_height = drawn.shape[0] - round(size[0] * max(480 / max(size), 1))
    row = rows_height // len(ROWS)
    assert row >= 0.05 * side, "the height of the rows depends on the image"
    assert (drawn == (200, 30, 30)).all(2).sum() >= size[0] * size[1], "the image is complete"
    for index in range(len(ROWS)):
        strip = drawn[drawn.shape[0] - rows_height + index * row :][:row]
        light = np.argwhere((strip > 200).all(2))
        assert np.ptp(light[:, 0]) >= 0.3 * row, "the letters are large in their row"
        assert light[:, 1].max() < strip.shape[1] - 1, "no text is cut off at the edge"


@pytest.mark.parametrize("size", [(65500, 1), (1, 65500)])
def test_an_extreme_aspect_ratio_is_drawn_in_bounded_memory(size):
    drawn = annotate(np.full((*size, 3), 200, np.uint8), ROWS)
    assert drawn.nbytes < 2**28
    shown = drawn[:8192, (drawn.shape[1] - 1) // 2] if size[0] > 1 else drawn[0, :8192]
    assert (shown == 200).all(), "the image is in it"


def test_many_classes_are_drawn_in_bounded_memory(tmp_path):
    rows = [Row(index, "x" * 100_000, 0.001) for index in range(1000)]
    with pytest.warns(UserWarning, match="shows the first 20 of 1,000 classes"):
        write_annotated_image(np.zeros((100, 100, 3), np.uint8), rows, tmp_path / "out.png")
    few = annotate(np.zeros((100, 100, 3), np.uint8), rows[:20])
    assert read(tmp_path / "out.png").shape == few.shape


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_an_image_that_is_too_large_for_its_format_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"\.webp cannot store the 200 x 20,000 pixels of .*; use \.png"):
        write_image(Image.new("RGB", (200, 20_000)), tmp_path / "out.webp")
    assert not list(tmp_path.iterdir())


def test_the_length_of_a_bar_is_the_probability():
    drawn = annotate(np.zeros((480, 480, 3), np.uint8), ROWS)
    row = (drawn.shape[0] - 480) // 3
    lengths = [(drawn[480 + index * row + 1] == (30, 90, 140)).all(1).sum() for index in range(3)]
    np.testing.assert_allclose(np.array(lengths) / 480, [0.75, 0.2, 0.05], atol=0.01)


def test_a_long_name_is_shortened():
    drawn = annotate(np.zeros((480, 480, 3), np.uint8), [Row(0, "x" * 300, 0.5)])
    assert drawn.shape[1] == 480


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_the_file_contains_the_annotated_image(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    image = np.full((100, 100, 3), 128, np.uint8)
    write_annotated_image(image, ROWS, path)
    np.testing.assert_allclose(read(path), annotate(image, ROWS), atol=0 if extension == ".png" else 90)


@pytest.mark.parametrize("name", ["out", "out.xyz"])
def test_an_extension_that_is_not_of_an_image_is_an_error(tmp_path, name):
    with pytest.raises(UserError, match=r"use \.jpg or \.png"):
        write_annotated_image(np.zeros((10, 10, 3), np.uint8), ROWS, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_control_characters_of_a_name_are_drawn_as_escape_sequences():
    image = np.zeros((480, 480, 3), np.uint8)
    drawn = annotate(image, [Row(0, "\x1b[2Jcat\n", 0.5)])
    np.testing.assert_array_equal(drawn, annotate(image, [Row(0, "\\x1b[2Jcat\\n", 0.5)]))


def test_a_name_that_no_font_has_is_drawn_as_its_id(monkeypatch):
    monkeypatch.setattr(fonts, "_installed", lambda: [])
    for cached in (fonts._face_of_cluster, fonts._face_of_all):
        cached.cache_clear()
    image = np.zeros((100, 100, 3), np.uint8)
    drawn = [annotate(image, [row]) for row in (Row(2, "狗", 0.5), Row(2, "n02107142", 0.5))]
    np.testing.assert_array_equal(*drawn)
    drawn = [annotate(image, [row]) for row in (Row(2, "狗", 0.5, id="猫"), Row(2, "class 2", 0.5))]
    np.testing.assert_array_equal(*drawn)
    for cached in (fonts._face_of_cluster, fonts._face_of_all):
        cached.cache_clear()


@pytest.mark.skipif(fonts.drawable("狗") is None, reason="no Chinese font is installed")
def test_a_name_in_another_script_is_drawn():
    image = np.zeros((100, 100, 3), np.uint8)
    drawn = [annotate(image, [Row(2, name, 0.5)]) for name in ("狗", "猫", "class 2", "n02107142")]
    assert len({pixels.tobytes() for pixels in drawn}) == 4
