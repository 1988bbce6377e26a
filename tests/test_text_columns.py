import pytest

from mindvit.text_columns import pad, shorten, text_columns


@pytest.mark.parametrize(
    ("text", "columns"), [("", 0), ("cat", 3), ("猫", 2), ("e\u0301", 1), ("\uff41", 2), ("a\u200db", 2)]
)
def test_columns_are_those_of_a_terminal(text, columns):
    assert text_columns(text) == columns


def test_texts_are_shortened_and_padded_by_columns():
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcdef", 4, keep_end=True) == "…def"
    assert shorten("abcd", 4) == "abcd"
    assert shorten("猫猫猫", 4) == "猫…"
    assert pad("猫", 4) == "猫  "
