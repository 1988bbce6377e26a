"""Reading a recipe file and the command line into typed, checked settings."""

import difflib
import sys
from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, set_parsing_settings

from mindvit.errors import UserError

T = TypeVar("T")

set_parsing_settings(docstring_parse_attribute_docstrings=True)


class _Parser(ArgumentParser):
    """A parser whose errors are exceptions of one sentence."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = " ".join(message.split())
        raise UserError(message.replace("arguments are required: ", "settings are required: --")) from ex


def parse(
    kind: type[T], description: str, arguments: list[str] | None = None, flags: dict[str, str] | None = None
) -> tuple[T, set[str]]:
    """Reads the command line into an instance of a dataclass of settings.

    ``--config FILE`` gives settings as YAML; other options override it, wherever they stand.

    Args:
        kind: the dataclass; its fields and those of its nested dataclasses are the options, with dotted names.
        description: what the program does, for ``--help``.
        arguments: the command line; by default the process's own.
        flags: options without a value, with their help.

    Returns:
        The settings, and which flags were given.

    Raises:
        UserError: for an unknown setting (naming the nearest), a wrong type, or a value out of range.
        SystemExit: after ``--help``.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _Parser(description=description)
    parser.add_argument("--config", action=ActionConfigFile, help="recipe file (YAML), such as those in configs/")
    for name, text in (flags or {}).items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_class_arguments(kind)

    known = sorted({option[2:] for action in parser._actions for option in action.option_strings if option[1:2] == "-"})
    recipe, others = _take_config(arguments)
    _check_names((item[2:].partition("=")[0] for item in others if item.startswith("--")), known, "the command line")
    if recipe is not None:
        _check_names(_dotted(_read_yaml(recipe)), known, recipe)
        others = ["--config", recipe, *others]
    try:
        values = vars(parser.instantiate(parser.parse_args(others)))
        values.pop("config")
        given = {name for name in flags or {} if values.pop(name)}
        return kind(**values), given
    except UserError:
        raise
    except (ValueError, TypeError) as error:
        raise UserError(" ".join(str(error).split())) from error


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


def _read_yaml(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except OSError as error:
        raise UserError(f"cannot read the recipe {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"the recipe {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"the recipe {path} holds no settings; it needs groups such as model: and data:")
    return content


def _dotted(content: dict[str, Any], prefix: str = "") -> Iterable[str]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _check_names(names: Iterable[str], known: list[str], where: str) -> None:
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise UserError(f"{where} has an unknown setting {name!r}; the nearest is {nearest[0]!r}")
