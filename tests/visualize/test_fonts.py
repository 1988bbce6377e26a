"""Fonts for labels in any script. Where no font has Chinese, the tests say so with a font list of their own."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from mindvit.visualize import fonts
from mindvit.visualize.fonts import drawable, find_font, font_family, note_missing_fonts, split_by_font

HAS_CJK = drawable("猫") is not None
needs_cjk = pytest.mark.skipif(not HAS_CJK, reason="no Chinese font is installed")


@pytest.fixture
def only_dejavu(monkeypatch):
    """A machine on which no font is installed."""
    caches = [value for value in vars(fonts).values() if hasattr(value, "cache_clear")]
    monkeypatch.setattr(fonts, "_installed", lambda: [])
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.mark.parametrize("text", ["Doberman", "café au lait", "Кошка", "γάτα", "قطة", "חתול", ""])
def test_dejavu_draws_alike_on_every_machine(text, only_dejavu):
    assert drawable(text) == (text or None)
    assert find_font(text, 20).getname()[0] == "DejaVu Sans"
    assert font_family(text) == ["DejaVu Sans"]


@needs_cjk
@pytest.mark.parametrize("text", ["猫", "猫 cat", "ねこ", "고양이", "𠮷野家"])
def test_cjk_characters_have_glyphs_in_the_font_that_is_found(text):
    assert drawable(text) == text
    font = find_font(text, 40)
    missing = font.getmask("\U000fffff").getbbox(), bytes(font.getmask("\U000fffff"))
    for char in text.replace(" ", ""):
        assert (font.getmask(char).getbbox(), bytes(font.getmask(char))) != missing


@needs_cjk
def test_a_collection_gives_the_letters_of_the_region():
    names = {text: find_font(text, 20).getname()[0] for text in ("直", "直ね", "직")}
    if not names["直"].startswith("Noto Sans CJK"):
        pytest.skip(f"the Chinese font here is {names['直']}")
    assert names == {"直": "Noto Sans CJK SC", "直ね": "Noto Sans CJK JP", "직": "Noto Sans CJK KR"}


@needs_cjk
def test_a_text_of_several_scripts_is_split_into_runs_that_have_a_font_each():
    assert find_font("猫 قطة", 20) is None, "no font has both"
    runs = split_by_font("猫 قطة 狗")
    assert "".join(run for run, _ in runs) == "猫 قطة 狗"
    assert Path(runs[1][1].path).name == "DejaVuSans.ttf"
    assert all(fonts._covers(face, run) for run, face in runs)


@needs_cjk
@pytest.mark.filterwarnings("error")
def test_matplotlib_finds_the_characters_in_the_family():
    figure = Figure()
    figure.text(0.5, 0.5, "猫 dog", family=font_family(["猫 dog", "cat"]))
    figure.canvas.draw()  # It warns of missing glyphs and families.


def test_a_missing_script_is_said_with_the_packages_that_bring_it(only_dejavu):
    assert drawable("猫") is None
    assert drawable("cat 猫") is None
    assert find_font("猫", 20) is None
    with pytest.warns(UserWarning, match=r"characters of 猫, แมว\u200b?.*fonts-noto-cjk fonts-noto-core") as notes:
        note_missing_fonts(["cat", "猫", "แมว", "猫"])
    assert "dnf install google-noto-sans-cjk-fonts google-noto-sans-thai-fonts" in str(notes[0].message)
    assert len(notes) == 1


@pytest.mark.filterwarnings("error")
def test_nothing_is_said_where_all_can_be_drawn(only_dejavu):
    note_missing_fonts(["cat", "café"])


def test_emoji_without_a_font_are_omitted_from_a_name(only_dejavu):
    assert drawable("🦊 fox 🦊") == "fox"
    assert drawable("🦊") is None
    assert drawable("cat 😀\ufe0f") == "cat 😀\ufe0f", "DejaVu has it; a variation selector needs no glyph"


def test_marks_stay_with_their_letters():
    assert list(fonts.clusters("e\u0301x\u0323")) == ["é", "x\u0323"]
    assert list(fonts.clusters("👩\u200d🔬!")) == ["👩\u200d🔬", "!"]


def test_without_a_library_for_joined_letters_the_cure_is_said(only_dejavu, monkeypatch):
    monkeypatch.setattr(fonts.features, "check", lambda name: False)
    with pytest.warns(UserWarning, match=r"unjoined and in the wrong order in قطة\. Install libfribidi0"):
        note_missing_fonts(["قطة", "cat"])


def test_a_broken_font_file_is_passed_over(tmp_path, only_dejavu, monkeypatch):
    (tmp_path / "NotoSansCJK-Regular.ttc").write_bytes(b"ttcf" + bytes(100))
    monkeypatch.setattr(fonts, "_installed", lambda: [fonts.Face(str(tmp_path / "NotoSansCJK-Regular.ttc"))])
    assert drawable("猫") is None
