from dataclasses import dataclass, field, fields

import pytest
from docstring_parser import parse

from mindvit.config import describe_type, flatten, marked_settings, optional_settings, plain, setting


@dataclass(frozen=True)
class Inner:
    size: int = 3
    """Size, in pixels."""
    name: str | None = setting(None, changeable=True)
    """Name."""


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    values: tuple[float, ...] = (1.0, 2.0)
    """Values
    of something."""
    threads: int = setting(1, changeable=True, per_node=True)
    """Threads."""


def test_nested_settings_get_dotted_names():
    content = {"a": 1, "b": {"c": None, "d": {"e": [2, {"f": 3}]}}, "g": {}}
    assert flatten(content) == {"a": 1, "b.c": None, "b.d.e": [2, {"f": 3}]}


def test_marks_are_found_in_nested_settings():
    assert marked_settings(Outer, "changeable") == {"inner.name", "threads"}
    assert marked_settings(Outer, "per_node") == {"threads"}


def test_plain_settings_are_what_json_has():
    assert plain(Outer()) == {"inner": {"size": 3, "name": None}, "values": [1.0, 2.0], "threads": 1}


def test_optional_settings_have_the_fields_types_and_help_of_the_originals():
    made = optional_settings("Made", "Overrides.", Inner, Outer, leave_out=("inner",))
    assert [(item.name, item.type, item.default) for item in fields(made)] == [
        ("size", int | None, None),
        ("name", str | None, None),
        ("values", tuple[float, ...] | None, None),
        ("threads", int | None, None),
    ]
    help_texts = {item.arg_name: item.description for item in parse(made.__doc__).params}
    assert help_texts["size"] == "Size, in pixels."
    assert help_texts["values"] == "Values of something."
    assert parse(made.__doc__).short_description == "Overrides."


def test_only_what_is_set_overrides():
    made = optional_settings("Made", "Overrides.", Inner)
    assert made().overrides() == {}
    assert made(size=0).overrides() == {"size": 0}
    with pytest.raises(TypeError):
        made(other=1)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (tuple[int, ...], "a list of whole numbers such as [1, 8]"),
        (tuple[float, ...] | None, "a list of numbers such as [1, 2.5] or null"),
    ],
)
def test_lists_are_described_by_what_they_hold(kind, expected):
    assert describe_type(kind) == expected
