"""Checks of settings by the declared types of their fields."""

from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

MAX_FLOAT = 3.4028234663852886e38
"""The greatest number of float32, in which all training arithmetic is done."""


def check_values(settings: Any, prefix: str = "") -> None:
    """Checks the fields of a dataclass instance that are numbers or whose type is a ``Literal``.

    Args:
        settings: the instance.
        prefix: start of the field names in the message, such as ``"augment."``.

    Raises:
        ValueError: if a number is NaN, infinite or beyond float32, or if a value of a ``Literal`` is not one of its
            choices.
    """
    for name, value in vars(settings).items():
        for number in value if isinstance(value, tuple | list) else (value,):
            # A comparison with NaN is false.
            if isinstance(number, int | float) and not abs(number) <= MAX_FLOAT:
                shown = f"{number:g}" if isinstance(number, float) else "an integer of more than 38 digits"
                raise ValueError(f"{prefix}{name} must be a finite number, at most 3.4e38 in float32, not {shown}")
    for name, choices in _choices(type(settings)).items():
        value = getattr(settings, name)
        for chosen in value if isinstance(value, tuple) and name in _lists(type(settings)) else (value,):
            if chosen not in choices:
                named = ", ".join(choice for choice in choices if choice is not None)
                raise ValueError(f"{prefix}{name} must be one of {named}, not {chosen!r}")


@cache
def _choices(kind: type) -> dict[str, tuple]:
    """The values that each field admits whose type is nothing but a ``Literal``, lists of it, and None."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        items = [get_args(member)[0] if get_origin(member) is tuple else member for member in members]
        literals = [item for item in items if get_origin(item) is Literal]
        if literals and all(item in literals or item is type(None) for item in items):
            optional = (None,) if type(None) in items else ()
            found[name] = (*dict.fromkeys(value for literal in literals for value in get_args(literal)), *optional)
    return found


@cache
def _lists(kind: type) -> set[str]:
    """The fields that admit one choice or a list of them."""
    return {
        name
        for name, hint in get_type_hints(kind).items()
        if any(get_origin(item) is tuple for item in (hint, *get_args(hint)))
    }
