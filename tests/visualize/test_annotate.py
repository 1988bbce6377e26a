import sys
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.visualize.annotate import annotate, write_annotated_image


@dataclass
class Row:
    label: int
    name: str
    probability: float


ROWS = [Row(0, "Doberman", 0.75), Row(1, "café au lait", 0.2), Row(2, "狗", 0.05)]


@pytest.mark.parametrize("size", [(8, 8), (60, 40), (300, 200), (480, 640), (3000, 4000), (2000, 50), (30, 1500)])
def test_the_text_is_legible_and_the_image_complete_at_every_size(size):
    image = np.full((*size, 3), (200, 30, 30), np.uint8)
    drawn = annotate(image, ROWS)
    side = max(*size, 480)
    rows_height = drawn.shape[0] - round(size[0] * max(480 / max(size), 1))
    row = rows_height // len(ROWS)
    assert row >= 0.05 * side, "the height of the rows depends on the image"
    assert (drawn == (30, 30, 200)).all(2).sum() >= size[0] * size[1], "the image is complete, in BGR"
    for index in range(len(ROWS)):
        strip = drawn[drawn.shape[0] - rows_height + index * row :][:row]
        light = np.argwhere((strip > 200).all(2))
        assert np.ptp(light[:, 0]) >= 0.3 * row, "the letters are large in their row"
        assert light[:, 1].max() < strip.shape[1] - 1, "no text is cut off at the edge"


def test_the_length_of_a_bar_is_the_probability():
    drawn = annotate(np.zeros((480, 480, 3), np.uint8), ROWS)
    row = (drawn.shape[0] - 480) // 3
    lengths = [(drawn[480 + index * row + 1] == (140, 90, 30)).all(1).sum() for index in range(3)]
    np.testing.assert_allclose(np.array(lengths) / 480, [0.75, 0.2, 0.05], atol=0.01)


def test_a_long_name_is_shortened():
    drawn = annotate(np.zeros((480, 480, 3), np.uint8), [Row(0, "x" * 300, 0.5)])
    assert drawn.shape[1] == 480


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_the_file_contains_the_annotated_image(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    image = np.full((100, 100, 3), 128, np.uint8)
    write_annotated_image(image, ROWS, path)
    np.testing.assert_allclose(cv2.imread(str(path)), annotate(image, ROWS), atol=0 if extension == ".png" else 90)


@pytest.mark.parametrize("name", ["out", "out.xyz"])
def test_an_extension_that_is_not_of_an_image_is_an_error(tmp_path, name):
    with pytest.raises(UserError, match=r"use \.jpg or \.png"):
        write_annotated_image(np.zeros((10, 10, 3), np.uint8), ROWS, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_missing_opencv_libraries_are_an_error_with_instructions(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match="libgl1"):
        write_annotated_image(np.zeros((10, 10, 3), np.uint8), ROWS, tmp_path / "out.jpg")
