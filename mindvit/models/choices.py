"""Validation of settings whose type is a ``Literal``."""

from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints


def check_choices(settings: Any, prefix: str = "") -> None:
    """Checks the fields of a dataclass instance whose type is a ``Literal``, or a ``Literal`` or None.

    Args:
        settings: the instance.
        prefix: start of the field names in the message, such as ``"augment."``.

    Raises:
        ValueError: if a value is not one of the choices.
    """
    for name, choices in _choices(type(settings)).items():
        value = getattr(settings, name)
        if value not in choices:
            named = ", ".join(choice for choice in choices if choice is not None)
            raise ValueError(f"{prefix}{name} must be one of {named}, not {value!r}")


@cache
def _choices(kind: type) -> dict[str, tuple]:
    """The values that each such field admits, None included if it is optional."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        literals = [item for item in (hint, *get_args(hint)) if get_origin(item) is Literal]
        if literals:
            optional = (None,) if type(None) in get_args(hint) else ()
            found[name] = (*(value for literal in literals for value in get_args(literal)), *optional)
    return found
