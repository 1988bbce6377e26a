"""Declares settings: dataclasses whose fields are the options of a recipe and of the command line.

A setting is declared once, beside the code that uses it. Help texts come from the docstring of the field. What may
change when a run resumes is metadata of the field, made with ``setting``.
"""

from collections.abc import Iterator
from dataclasses import Field, asdict, field, fields, is_dataclass, make_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from docstring_parser import parse_from_object

Mark = Literal["changeable", "per_node"]


def setting(default: Any, *, changeable: bool = False, per_node: bool = False) -> Any:
    """A dataclass field with metadata.

    Args:
        default: default value.
        changeable: whether the value may change when a run resumes, because it has no effect on the trained weights.
        per_node: whether the value may differ between the nodes of a job.
    """
    return field(default=default, metadata={"changeable": changeable, "per_node": per_node})


def marked_settings(kind: type, mark: Mark) -> set[str]:
    """The dotted names of the settings of a dataclass that have a mark."""
    return {name for name, item in _leaves(kind) if item.metadata.get(mark)}


def flatten(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name: ``{"optimizer": {"lr": 1}}`` becomes ``{"optimizer.lr": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def optional_settings(name: str, doc: str, *kinds: type, leave_out: tuple[str, ...] = ()) -> type:
    """A frozen dataclass with the fields of other dataclasses, each optional and None by default.

    So the command line can override any field of a configuration, without a second declaration. Types and help texts
    are those of the originals. Its method ``overrides`` returns the fields that are not None.

    Args:
        name: name of the new class.
        doc: docstring of the new class.
        kinds: the dataclasses.
        leave_out: names of fields to leave out.
    """
    members, docs = [], {}
    for kind in kinds:
        hints = get_type_hints(kind)
        docs |= {item.arg_name: item.description for item in parse_from_object(kind).params}
        members += [
            (item.name, hints[item.name] | None, field(default=None))
            for item in fields(kind)
            if item.name not in leave_out
        ]
    names = [member[0] for member in members]

    def overrides(self: Any) -> dict[str, Any]:
        """The settings that are not None, by name."""
        return {key: getattr(self, key) for key in names if getattr(self, key) is not None}

    made = make_dataclass(name, members, namespace={"overrides": overrides}, frozen=True)
    lines = [f"    {key}: {' '.join(docs[key].split())}" for key in names]
    made.__doc__ = "\n".join([doc, "", "Args:", *lines])
    return made


def setting_types(kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted name and the type of every setting of a dataclass."""
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint):
            yield from setting_types(hint, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", hint


def setting_groups(kind: type) -> dict[str, str]:
    """The groups of settings of a dataclass, and the docstring of each in one paragraph."""
    groups = {name: hint for name, hint in get_type_hints(kind).items() if is_dataclass(hint)}
    return {name: " ".join((hint.__doc__ or "").partition("\n\nArgs:")[0].split()) for name, hint in groups.items()}


def describe_type(hint: Any) -> str:
    """What a type admits, in words: ``float | None`` is "a number or null"."""
    plain = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "null"}
    if hint in plain:
        return plain[hint]
    members = get_args(hint)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(members)}" if len(members) > 1 else members[0]
    if get_origin(hint) in (list, tuple) and is_text_list(hint):
        return 'a list of texts such as ["0", "1"]' if members[0] is str else "a list of them"
    if get_origin(hint) is tuple and members[-1] is Ellipsis:
        return f"a list of {'whole numbers such as [1, 8]' if members[0] is int else 'numbers such as [1, 2.5]'}"
    if get_origin(hint) is tuple:
        return f"a list of {len(members)} numbers"
    if get_origin(hint) is list and is_dataclass(members[0]):
        entries = ", ".join(f"{key}: {describe_type(of)}" for key, of in get_type_hints(members[0]).items())
        return f"a list of {{{entries}}}"
    return " or ".join(describe_type(member) for member in members)


def is_text_list(hint: Any) -> bool:
    """Whether a type is a list of texts of any length, such as ``tuple[str, ...] | None``."""
    if get_origin(hint) in (Union, UnionType):
        return any(is_text_list(member) for member in get_args(hint))
    if get_origin(hint) not in (list, tuple) or get_args(hint)[1:] not in ((), (Ellipsis,)):
        return False
    return get_args(hint)[0] is str or get_origin(get_args(hint)[0]) is Literal


def is_number_list(hint: Any) -> bool:
    """Whether a type is a list of numbers of any length, such as ``tuple[int, ...] | None``."""
    if get_origin(hint) in (Union, UnionType):
        return any(is_number_list(member) for member in get_args(hint))
    return get_origin(hint) is tuple and get_args(hint)[1:] == (Ellipsis,) and get_args(hint)[0] in (int, float)


def plain(settings: Any) -> dict[str, Any]:
    """The settings of a dataclass instance with tuples as lists, as JSON and YAML represent them."""
    return _plain(asdict(settings))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _leaves(kind: type, prefix: str = "") -> Iterator[tuple[str, Field]]:
    hints = get_type_hints(kind)
    for item in fields(kind):
        if is_dataclass(hints[item.name]):
            yield from _leaves(hints[item.name], f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", item
