"""A command of the command line: what it does, its examples, and how its settings reach a function."""

import difflib
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from mindvit.errors import UserError


@dataclass(frozen=True)
class Command:
    """A command."""

    help: str
    """What it does, in one line."""
    example: str | dict[str, str] = ""
    """Arguments of an example, or of several by what they do."""
    run: Callable[[list[str], str, "Command"], None] | None = None
    """Runs it with its arguments, its name for ``--help``, and the command itself."""
    prints_result: bool = False
    """Whether its only result is what it prints."""

    commands: dict[str, "Command"] = field(default_factory=dict)
    """Commands that it consists of, in place of ``run``: ``mindvit visualize attention …``."""

    def start(self, arguments: list[str], usage: str) -> None:
        """Runs it, or the command of it that the first argument names."""
        if self.run is not None:
            self.run(arguments, usage, self)
            return
        name, *others = arguments or ["--help"]
        if name in ("--help", "-h"):
            print(overview(usage, self.commands, {}, self.help))
            return
        if name not in self.commands:
            raise UserError(unknown_command(name, self.commands, usage))
        self.commands[name].start(others, f"{usage} {name}")

    @property
    def examples(self) -> dict[str, str]:
        """Arguments of examples by what they do."""
        return self.example if isinstance(self.example, dict) else {"": self.example}


def unknown_command(name: str, commands: Iterable[str], usage: str) -> str:
    """The message about an unknown command, with the nearest one."""

    nearest = difflib.get_close_matches(name, list(commands), n=1, cutoff=0.0)
    return f"there is no command {name!r}; the nearest is {nearest[0]!r}, and {usage} --help lists all"


def overview(usage: str, commands: dict[str, Command], examples: dict[str, str], description: str = "") -> str:
    """The help of a command that consists of others.

    Args:
        usage: how it is called.
        commands: these commands, by name.
        examples: commands with their arguments, by what they do.
        description: what it is for.
    """
    margin = max(20, 4 + max(map(len, commands)))
    rows = [
        textwrap.fill(command.help, 79, initial_indent=f"  {name:<{margin - 2}}", subsequent_indent=" " * margin)
        for name, command in commands.items()
    ]
    lines = [line for task, command in examples.items() for line in (f"  {task}:", f"    {command}")]
    return "\n".join(
        [
            f"usage: {usage} COMMAND [options]",
            *(("", textwrap.fill(description, 79)) if description else ()),
            *("", "commands:", *rows),
            *(("", "examples:", *lines) if examples else ()),
            *("", f"{usage} COMMAND --help explains the options of a command."),
        ]
    )


def call(
    settings: str,
    action: str,
    flags: dict[str, tuple[str, str]] | None = None,
    positional: tuple[str, ...] = (),
) -> Callable:
    """The ``run`` of a command that parses settings and calls a function with them.

    Args:
        settings: the dataclass of its settings, as ``module:name``; imported when the command runs.
        action: the function, likewise.
        flags: options without a value: the keyword argument of the function that each sets to True, and its help.
        positional: settings whose values are given without their names, in this order.
    """
    flags = flags or {}

    def run(arguments: list[str], usage: str, command: Command) -> None:
        from mindvit.parsing import parse

        helps = {name: text for name, (_, text) in flags.items()}
        kind = _import(settings)
        parsed, given = parse(kind, command.help, arguments, helps, usage, command.examples, positional)
        _import(action)(parsed, **{flags[name][0]: True for name in given})

    return run


def _import(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(module), name)
