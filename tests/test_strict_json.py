import json

import pytest

from mindvit.strict_json import dump_json, parse_json


def no_constant(name):
    raise AssertionError(f"{name} is not JSON")


def test_numbers_that_are_not_finite_become_null():
    value = {"a": float("nan"), "b": [1.5, float("inf")], "c": (float("-inf"), 2)}
    for indent in (None, 2):
        text = dump_json(value, indent)
        assert json.loads(text, parse_constant=no_constant) == {"a": None, "b": [1.5, None], "c": [None, 2]}
    assert "\n" in text


def test_texts_are_kept_and_cannot_control_a_terminal():
    names = ["Katze 狗", "\x1b[2J\x9b\x7f", "a\nb\\n", "\u202etxt", "\udce4", "\U000e0001", 'quote"']
    text = dump_json(names, indent=1)
    assert json.loads(text) == names
    assert "Katze 狗" in text
    assert all(char.isprintable() or char == "\n" for char in text)
    text.encode("utf-8")


def test_constants_of_python_are_read_as_null():
    assert parse_json('{"a": NaN, "b": [Infinity, -Infinity]}') == {"a": None, "b": [None, None]}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "{", "", b"\xff\xff"])
def test_what_cannot_be_read_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse_json(text)
