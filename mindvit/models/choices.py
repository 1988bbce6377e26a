"""Checks settings whose type is a ``Literal``."""

from typing import Any, Literal, get_args, get_origin, get_type_hints


def check_choices(settings: Any, prefix: str = "") -> None:
    """Checks the fields of a dataclass instance whose type is a ``Literal``, or a ``Literal`` or None.

    Args:
        settings: the instance.
        prefix: start of the field names in the message, such as ``"augment."``.

    Raises:
        ValueError: for a value that is not among the choices.
    """
    for name, hint in get_type_hints(type(settings)).items():
        literals = [item for item in (hint, *get_args(hint)) if get_origin(item) is Literal]
        choices = [choice for literal in literals for choice in get_args(literal)]
        value = getattr(settings, name)
        if choices and value not in choices and not (value is None and type(None) in get_args(hint)):
            raise ValueError(f"{prefix}{name} must be one of {', '.join(choices)}, not {value!r}")
