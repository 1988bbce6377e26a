"""Reading a recipe file and the command line into typed, checked settings."""

import json
import re
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, get_args, get_type_hints

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, get_loader, set_loader, set_parsing_settings

from mindvit.bounded_yaml import MAX_BYTES, RefusedYAML, check_yaml, load_yaml
from mindvit.config import describe_type, flatten, is_number_list, is_text_list, setting_types
from mindvit.errors import UserError
from mindvit.find_recipe import find_recipe
from mindvit.help_pages import HelpPages
from mindvit.models.setting_names import nearest_setting
from mindvit.option_names import OPTION_NAMES
from mindvit.stand_in_imports import is_help_requested

if TYPE_CHECKING:
    from mindvit.training.recipe import Recipe

T = TypeVar("T")

_SHOWN_LENGTH = 100
"""Characters of a wrong value in a message."""

set_parsing_settings(docstring_parse_attribute_docstrings=True)
_load_unchecked = get_loader("yaml")


def _load_value(text: str) -> Any:
    """Loads a recipe or the value of an option, as jsonargparse does it, within the bounds of ``load_yaml``."""
    load_yaml(text)
    return _load_unchecked(text)


set_loader("yaml", _load_value, (yaml.YAMLError,))


class _Parser(ArgumentParser):
    """A parser whose errors are exceptions of one sentence."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = " ".join(message.split())
        raise UserError(message.replace("arguments are required: ", "settings are required: --")) from ex


def parse(
    kind: type[T],
    description: str,
    arguments: list[str] | None = None,
    flags: dict[str, str] | None = None,
    usage: str | None = None,
    examples: dict[str, str] | None = None,
    positional: tuple[str, ...] = (),
) -> tuple[T, set[str]]:
    """Reads the command line into an instance of a dataclass of settings.

    ``--config FILE`` gives settings as YAML (see ``find_recipe``); other options override it, wherever they stand. A
    setting that is a list of texts takes one value or several (``--image a.png b.png``), or a YAML list. ``--help``
    prints the overview of ``HelpPages``, ``--help GROUP`` the page of a group.

    Args:
        kind: the dataclass; its fields and those of its nested dataclasses are the options, with dotted names.
        description: what the program does, for ``--help``.
        arguments: the command line; by default the process's own.
        flags: options without a value, with their help.
        usage: name of the program, for ``--help``; by default the process's own.
        examples: arguments of examples by what they do, for ``--help``.
        positional: settings whose values may be given without their names, in this order. A list of texts takes all
            values that are left.

    Returns:
        The settings, and which flags were given.

    Raises:
        UserError: for an unknown setting (naming the nearest), a wrong type, or a value out of range.
        SystemExit: after ``--help``.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = make_parser(kind, description, flags, usage)
    known = sorted({option[2:] for action in parser._actions for option in action.option_strings if option[1:2] == "-"})
    types = dict(setting_types(kind))
    settings = [*types, *(flags or {}), "config"]
    for index, item in enumerate(arguments):
        if is_help_requested([item]):
            topic = item.partition("=")[2] or next(iter(arguments[index + 1 :]), "-")
            pages = HelpPages(kind, parser._actions, parser.prog, description, examples or {}, flags or {}, positional)
            print(pages.page(None if topic.startswith("-") else topic))
            raise SystemExit(0)
    recipe, others = _take_config(arguments)
    others = _name_values(others, types, {*(flags or {}), "print_config"}, positional)
    names = [item[2:].partition("=")[0] for item in others if item.startswith("--")]
    _check_names(names, known, settings, "the command line")
    _check_groups(others, types)
    if recipe is not None:
        recipe = find_recipe(recipe)
        written = flatten(_read_yaml(recipe))
        _check_names(written, known, settings, recipe)
        for name, value in written.items():
            if isinstance(value, str) and "\0" in value:
                raise UserError(f"{name} contains a NUL character, which no path or name can have")
            if value is None and name in types and NoneType not in get_args(types[name]):
                raise UserError(_wrong_type(name, types[name], "empty"))
            if any(option.startswith(f"{name}.") for option in types):
                raise UserError(f"{name} must be a group of settings, not {value!r}")
        others = ["--config", recipe, *others]
    try:
        values = vars(parser.instantiate(parser.parse_args(others)))
        values.pop("config")
        given = {name for name in flags or {} if values.pop(name)}
        return kind(**values), given
    except UserError as error:
        entry = re.match(r'Parser key "([\w.]+)": Option \'(.*)\' is not accepted', str(error))
        if entry and entry[1] in types:
            members = list(get_type_hints(get_args(types[entry[1]])[0]))
            _check_names([entry[2]], members, members, f"an entry of {entry[1]}")
        found = re.match(r'Parser key "([\w.]+)":.*[Vv]alue: (.*?)(?: Subclass types .*)?$', str(error))
        if found and found[1] in types:
            _check_value(found[1], others)
            raise UserError(_wrong_type(found[1], types[found[1]], found[2])) from error
        number = re.match(r'Parser key "([\w.]+)": Exceeds the limit', str(error))
        if number and number[1] in types:
            raise UserError(_wrong_type(number[1], types[number[1]], "one of thousands of digits")) from error
        raise
    except (ValueError, TypeError) as error:
        raise UserError(" ".join(str(error).split())) from error


def make_parser(
    kind: type, description: str, flags: dict[str, str] | None = None, usage: str | None = None
) -> ArgumentParser:
    """The parser of a dataclass of settings; arguments as in ``parse``."""
    parser = _Parser(prog=usage, description=description)
    parser.add_argument(
        "--config", action=ActionConfigFile, help="Recipe: a YAML file, or the name of one in configs/, such as digits."
    )
    for name, text in (flags or {}).items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_class_arguments(kind)
    return parser


def load_recipe(path: str | Path, overrides: dict[str, Any] | None = None) -> "Recipe":
    """Reads a recipe file.

    Args:
        path: the YAML file.
        overrides: settings by dotted name that replace those of the file, such as ``{"train.epochs": 3}``.

    Raises:
        UserError: as ``parse``.
    """
    from mindvit.training.recipe import Recipe

    options = [part for name, value in (overrides or {}).items() for part in (f"--{name}", _as_text(value))]
    return parse(Recipe, "", ["--config", str(path), *options])[0]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _wrong_type(name: str, hint: Any, value: str) -> str:
    shown = value if len(value) <= _SHOWN_LENGTH else f"{value[:_SHOWN_LENGTH]}…"
    return f"{name} must be {describe_type(hint)}, not {shown}"


def _take_config(arguments: list[str]) -> tuple[str | None, list[str]]:
    others = list(arguments)
    for index, item in enumerate(arguments):
        if item.startswith("--config="):
            others.pop(index)
            return item.partition("=")[2], others
        if item == "--config":
            if index + 1 == len(arguments):
                raise UserError("--config needs the path of a recipe file")
            del others[index : index + 2]
            return arguments[index + 1], others
    return None, others


def _name_values(
    arguments: list[str], types: dict[str, Any], flags: set[str], positional: tuple[str, ...]
) -> list[str]:
    """Writes a command line so that each value is part of the option before it, or the argument after it.

    Raises:
        UserError: for a value that no option and no positional setting takes.
    """
    named, waiting, left = [], list(positional), list(arguments)
    while left:
        item = left.pop(0)
        name, has_value, _ = item[2:].partition("=")
        if not item.startswith("--"):
            if item.startswith("-") and item[1:2].isalpha():
                nearest = nearest_setting(item[1:].partition("=")[0], list(types), OPTION_NAMES)
                raise UserError(f"the command line has {item!r}, but an option begins with --: --{nearest}")
            if not waiting:
                raise UserError(f"the command line has {item!r}, which belongs to no option; --help explains the usage")
            name = waiting.pop(0)
            left.insert(0, item)
        elif has_value or name in flags or not left or left[0].startswith("--"):
            named.append(item)
            continue
        count = next((index for index, value in enumerate(left) if value.startswith("--")), len(left))
        if is_number_list(types.get(name)) and all(map(_is_number, left[:count])):
            named.append(f"--{name}=[{', '.join(left[:count])}]")
            del left[:count]
        elif not is_text_list(types.get(name)) or (count == 1 and _is_list_or_null(left[0])):
            named += [f"--{name}", left.pop(0)]
        else:
            named.append(f"--{name}={json.dumps(left[:count])}")
            del left[:count]
    return named


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_list_or_null(text: str) -> bool:
    try:
        value = load_yaml(text)
    except (RefusedYAML, yaml.YAMLError):
        return text.startswith("[")  # The type is checked later, with a message that shows the value.
    return value is None or isinstance(value, list)


def _read_yaml(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            content = load_yaml(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise UserError(f"cannot read the recipe {path}: {error.strerror}") from error
    except RefusedYAML as error:
        raise UserError(f"the recipe {path}: {error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"the recipe {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"the recipe {path} holds no settings; it needs groups such as model: and data:")
    return content


def _check_names(names: Iterable[str], known: list[str], settings: list[str], where: str) -> None:
    """Checks names.

    Args:
        names: the names.
        known: what they may be.
        settings: what to suggest instead of an unknown one.
        where: where they are, for the message.
    """
    for name in names:
        if name not in known:
            nearest = nearest_setting(name, settings, OPTION_NAMES)
            raise UserError(f"{where} has an unknown setting {name!r}; the nearest is {nearest!r}")


def _check_groups(arguments: list[str], types: dict[str, Any]) -> None:
    """Checks that no option is the name of a group with a value that is not a group: ``--model vit_b_16_224``."""
    groups = {name.rpartition(".")[0] for name in types} - {""}
    for index, item in enumerate(arguments):
        name, has_value, value = item[2:].partition("=")
        value = value if has_value else next(iter(arguments[index + 1 :]), "")
        if item.startswith("--") and name in groups and not value.lstrip().startswith("{"):
            nearest = nearest_setting(name, list(types), OPTION_NAMES)
            raise UserError(f"--{name} is a group of settings and takes no value; the nearest setting is {nearest!r}")


def _check_value(name: str, arguments: list[str]) -> None:
    """Checks that the value of an option is YAML within the bounds. jsonargparse takes it as a text if it is not."""
    values = [item.partition("=")[2] for item in arguments if item.startswith(f"--{name}=")]
    values += [value for item, value in pairwise(arguments) if item == f"--{name}"]
    for value in values:
        try:
            check_yaml(value)
        except RefusedYAML as error:
            raise UserError(f"the value of {name}: {error}") from error
        except yaml.YAMLError:
            pass  # The message about the type has the whole value, so it says more.
