"""Reads and writes JSON as its standard defines it, without NaN and Infinity, and safely for any content."""

import json
import math
from typing import Any


def dump_json(value: Any, indent: int | None = None) -> str:
    """A value as JSON, for ``json.loads`` or another program.

    Numbers that are not finite become null. Characters that a terminal could interpret, or that UTF-8 cannot encode
    (see ``str.isprintable``), are written as escape sequences such as ``\\u001b``, which mean the same to a reader.

    Args:
        value: dictionaries, lists, tuples, texts, numbers, booleans and None.
        indent: spaces per level; None writes one line.
    """
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. NaN and Infinity, which are not JSON but which Python writes, become None.

    Raises:
        ValueError: if the text is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=lambda name: None)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
