import pytest

from mindvit.printable import first_names, printable


@pytest.mark.parametrize("text", ["", "cat", "Katze 狗", "n01440764 ☂ é", "\u0645\u06cc\u200c\u062e", "a\u3000b"])
def test_ordinary_texts_are_kept(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mcat", "\\x1b[31mcat"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x9b2J\x7f\x00", "\\x9b2J\\x7f\\x00"),
        ("abc\u202etxt.\u2066", "abc\\u202etxt.\\u2066"),
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
        ("caf\udce9", "caf\\udce9"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_characters_that_control_a_terminal_are_escaped(text, shown):
    assert printable(text) == shown
    assert shown.isascii()


def test_a_long_text_is_shortened():
    assert printable("abcdef", 4) == "abc…"
    assert printable("abcd", 4) == "abcd"
    assert printable("\x1b" * 4, 5) == "\\x1b…"


def test_the_first_names_are_printable_and_the_rest_is_an_ellipsis():
    assert first_names(["a\x1b[2J", "b"], 2) == "a\\x1b[2J, b"
    assert first_names(("a", "b", "c"), 2) == "a, b, …"
