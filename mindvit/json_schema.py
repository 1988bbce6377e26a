"""Creates dataclasses from JSON values of unknown origin: the annotations of the fields are the schema."""

import math
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_KINDS = {dict: "an object", list: "a list", tuple: "a list", int: "an integer", float: "a number", str: "a text"}
_SHOWN = 40
_MAX_INT = 2**53
"""Greatest integer: every JSON library reads those up to it exactly."""


def decode(kind: type[T], content: Any, where: str = "") -> T:
    """Creates a dataclass from the value of a JSON text.

    Types are not converted, except lists to tuples and integers to floats. Fields with a default may be missing. The
    fields may be numbers, booleans, texts, None, Literals, Enums, dataclasses, and unions, lists, tuples and
    dictionaries of these.

    Args:
        kind: the dataclass.
        content: what ``json.loads`` returned.
        where: dotted name of the value, for messages.

    Raises:
        ValueError: naming the first field that is missing, unknown, or of another type or range (numbers must be
            finite, and texts may not contain NUL) and what is expected; or what the constructor of the dataclass
            raises.
    """
    if not isinstance(content, dict):
        raise _mismatch(where or "it", "an object", content)
    prefix, known = f"{where}." if where else "", {item.name: item for item in fields(kind)}
    for name in content:
        if name not in known:
            raise ValueError(f"there is no field {_shown(prefix + name)}")
    hints, found = get_type_hints(kind), {}
    for name, item in known.items():
        if name in content:
            found[name] = decode_value(hints[name], content[name], prefix + name)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"{prefix}{name} is missing")
    return kind(**found)


def decode_value(hint: Any, value: Any, where: str) -> Any:
    """The value of one field, whose annotation is ``hint``.

    Raises:
        ValueError: as ``decode``.
    """
    origin, members = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _decode_union(members, value, where)
    if origin is Literal:
        if isinstance(value, str) and value in members:
            return value
        raise _mismatch(where, f"one of {', '.join(members)}", value)
    if origin in (list, tuple):
        return _decode_list(origin, members, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise _mismatch(where, "an object", value)
        return {key: decode_value(members[1], item, f"{where}.{key[:_SHOWN]}") for key, item in value.items()}
    if is_dataclass(hint):
        return decode(hint, value, where)
    if issubclass(hint, Enum):
        return hint(decode_value(Literal[tuple(item.value for item in hint)], value, where))
    return _decode_plain(hint, value, where)


def _decode_union(members: tuple, value: Any, where: str) -> Any:
    if value is None and NoneType in members:
        return None
    others = [member for member in members if member is not NoneType]
    fitting = [member for member in others if _KINDS.get(get_origin(member) or member) == _KINDS.get(type(value))]
    if len(others) > 1 and not fitting:
        raise _mismatch(where, " or ".join(_KINDS[get_origin(member) or member] for member in others), value)
    return decode_value((fitting or others)[0], value, where)


def _decode_list(kind: type, members: tuple, value: Any, where: str) -> list | tuple:
    if not isinstance(value, list | tuple):
        raise _mismatch(where, "a list", value)
    if kind is list or members[1:] == (Ellipsis,):
        members = members[:1] * len(value)
    if len(value) != len(members):
        raise ValueError(f"{where} must be a list of {len(members)} values, not of {len(value)}")
    pairs = zip(members, value, strict=True)
    return kind(decode_value(member, item, f"{where}[{index}]") for index, (member, item) in enumerate(pairs))


def _decode_plain(kind: type, value: Any, where: str) -> Any:
    """A boolean, number or text. In Python a boolean is also an integer; here it is not."""
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise _mismatch(where, "true or false", value)
    if kind is str:
        if isinstance(value, str) and "\0" not in value:
            return value
        raise _mismatch(where, "a text without NUL", value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        if is_number and isinstance(value, int) and abs(value) <= _MAX_INT:
            return value
        raise _mismatch(
            where, "an integer of at most 2^53" if is_number and isinstance(value, int) else "an integer", value
        )
    if kind is not float:
        raise TypeError(f"{where} has the type {kind}, which has no rule")
    if is_number and (math.isfinite(value) if isinstance(value, float) else abs(value) <= _MAX_INT):
        return float(value)
    raise _mismatch(where, "a finite number", value)


def _mismatch(where: str, expected: str, value: Any) -> ValueError:
    kinds = {dict: "an object", list: "a list", NoneType: "null"}
    return ValueError(f"{where} must be {expected}, not {kinds.get(type(value)) or _shown(value)}")


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
