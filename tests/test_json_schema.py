from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Literal

import pytest

from mindvit.json_schema import decode


class Color(str, Enum):
    RED = "red"


@dataclass
class Inner:
    pair: tuple[float, float] = (0.0, 1.0)


@dataclass
class Outer:
    size: int | tuple[int, int]
    name: str = "x"
    flag: bool = False
    kind: Literal["a", "b"] | None = None
    color: Color = Color.RED
    many: tuple[str, ...] = ()
    rates: list[float] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self):
        if self.name == "":
            raise ValueError("name must not be empty")


FULL = {
    "size": [2, 3],
    "name": "y",
    "flag": True,
    "kind": "b",
    "color": "red",
    "many": ["1", "2"],
    "rates": [1, 0.5],
    "metrics": {"top1": 3},
    "inner": {"pair": [1, 2.5]},
}


def test_values_of_every_type_are_read():
    made = decode(Outer, FULL)
    assert made == Outer((2, 3), "y", True, "b", Color.RED, ("1", "2"), [1.0, 0.5], {"top1": 3.0}, Inner((1.0, 2.5)))
    assert isinstance(made.metrics["top1"], float)
    assert asdict(decode(Outer, {"size": 5})) == asdict(Outer(5))
    assert decode(Outer, {"size": 5, "kind": None}).kind is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "5"}, "size must be an integer or a list, not '5'"),
        ({"size": True}, "size must be an integer or a list, not True"),
        ({"size": [1, 2, 3]}, "size must be a list of 2 values, not of 3"),
        ({"size": [1, "x"]}, "size[1] must be an integer, not 'x'"),
        ({"size": [1, 10**30]}, f"size[1] must be an integer of at most 2^53, not {10**30}"),
        ({"size": [1, 2.0]}, "size[1] must be an integer, not 2.0"),
        ({"name": None}, "name must be a text without NUL, not null"),
        ({"name": "a\0"}, "name must be a text without NUL, not 'a\\x00'"),
        ({"name": ""}, "name must not be empty"),
        ({"flag": 1}, "flag must be true or false, not 1"),
        ({"kind": "c"}, "kind must be one of a, b, not 'c'"),
        ({"kind": ["a"]}, "kind must be one of a, b, not a list"),
        ({"color": "blue"}, "color must be one of red, not 'blue'"),
        ({"many": "12"}, "many must be a list, not '12'"),
        ({"many": ["1", {}]}, "many[1] must be a text without NUL, not an object"),
        ({"rates": [float("inf")]}, "rates[0] must be a finite number, not inf"),
        ({"rates": [float("nan")]}, "rates[0] must be a finite number, not nan"),
        ({"rates": [10**400]}, f"rates[0] must be a finite number, not {str(10**400)[:37]}..."),
        ({"metrics": [1]}, "metrics must be an object, not a list"),
        ({"metrics": {"a": "b"}}, "metrics.a must be a finite number, not 'b'"),
        ({"inner": 3}, "inner must be an object, not 3"),
        ({"inner": {"pair": [1]}}, "inner.pair must be a list of 2 values, not of 1"),
        ({"inner": {"pears": 1}}, "there is no field 'inner.pears'"),
        ({"\x1b[2J": 1}, "there is no field '\\x1b[2J'"),
    ],
)
def test_a_value_of_another_type_is_named_with_what_is_expected(change, message):
    with pytest.raises(ValueError) as error:
        decode(Outer, {**FULL, **change})
    assert str(error.value) == message


def test_a_missing_field_is_named():
    with pytest.raises(ValueError, match=r"^size is missing$"):
        decode(Outer, {})


@pytest.mark.parametrize("content", [None, [], "text", 3, True])
def test_a_value_that_is_no_object_is_an_error(content):
    with pytest.raises(ValueError, match=r"^it must be an object, not "):
        decode(Outer, content)
