import numpy as np
import pytest
from PIL import Image, ImageDraw, features

from mindvit.visualize.fonts import drawable
from mindvit.visualize.text import draw_text, shorten, text_width

TEXTS = [text for text in ("Doberman", "قطة", "猫 cat", "猫 قطة x") if drawable(text)]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_as_wide_as_it_is_drawn(text):
    image = Image.new("L", (600, 100))
    draw_text(ImageDraw.Draw(image), (50, 60), text, 40, 255)
    columns = np.flatnonzero(np.asarray(image).any(0))
    assert abs(columns[0] - 50) <= 5
    assert abs(columns[-1] - (50 + text_width(text, 40))) <= 5


@pytest.mark.parametrize("text", [text * 30 for text in TEXTS])
def test_a_long_text_is_shortened_to_the_width(text):
    short = shorten(text, 20, 150)
    assert text_width(short, 20) <= 150
    assert short.endswith("…")
    assert text.startswith(short[:-1].rstrip())
    assert text_width(short, 20) > 90, "as much as fits is kept"


def test_a_text_that_fits_is_kept():
    assert shorten("Doberman", 20, 1000) == "Doberman"
    assert shorten("Doberman", 20, 1) == "…"


@pytest.mark.skipif(not features.check("raqm"), reason="Pillow finds no FriBidi")
def test_arabic_letters_are_joined():
    joined, apart = text_width("قطة", 40), sum(text_width(letter, 40) for letter in "قطة")
    assert joined < 0.9 * apart
