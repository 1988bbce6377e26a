"""The help of a command: an overview that fits a screen, and a page for each group of settings."""

import json
import textwrap
from argparse import Action
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from shutil import get_terminal_size

from mindvit.config import describe_type, setting_groups, setting_types
from mindvit.errors import UserError
from mindvit.models.setting_names import nearest_setting
from mindvit.option_names import OPTION_NAMES

COLUMNS, LINES = 80, 60
"""The screen that an overview fits."""
_MAX_COLUMNS = 100
"""Columns beyond which lines are hard to read."""
_ALL = "all"
_NO_SETTINGS = {"config": "FILE", "print_config": ""}
"""The options of every command that are no settings, and their placeholders."""


@dataclass(frozen=True)
class HelpPages:
    """Writes the help of a command from the dataclass of its settings.

    The overview lists the settings that are in no group, and those of all groups (nested dataclasses) if it then fits
    ``COLUMNS`` and ``LINES``. If not, it has a line for each group; and if that is too long, too, the settings have
    only the first sentence of their help, without type and default.
    """

    kind: type
    """Dataclass of the settings."""
    actions: Iterable[Action]
    """Options of its parser, which know help texts and defaults."""
    usage: str
    """How the command is called."""
    description: str = ""
    """What it does."""
    examples: dict[str, str] = field(default_factory=dict)
    """Arguments of examples, by what they do."""
    flags: Iterable[str] = ()
    """Options without a value."""
    positional: tuple[str, ...] = ()
    """Settings whose values are given without their names."""

    def page(self, topic: str | None = None) -> str:
        """The help.

        Args:
            topic: a group, a setting, or ``all``. None is the overview.

        Raises:
            UserError: if there is no such topic.
        """
        width = min(get_terminal_size().columns, _MAX_COLUMNS) - 1
        groups, settings = self._groups, list(self._types)
        if topic is None:
            forms = ({"whole": True}, {}, {"brief": True})
            fitting = (form for form in forms if self._overview(COLUMNS - 1, **form).count("\n") < LINES)
            return self._overview(width, **next(fitting, forms[-1]))
        if topic == _ALL:
            return self._overview(width, whole=True)
        if topic in groups:
            return self._group(topic, width)
        if topic in settings:
            return self._setting(topic, width)
        nearest = nearest_setting(topic, [*settings, *groups], OPTION_NAMES)
        among = f"; the groups are {', '.join(groups)}" if groups else ""
        raise UserError(f"--help has no group or setting {topic!r}; the nearest is {nearest!r}{among}")

    def _overview(self, width: int, whole: bool = False, brief: bool = False) -> str:
        groups = self._groups
        named = [name for name in self._types if "." not in name and name not in self.positional]
        others = [*_NO_SETTINGS, *self.flags]
        asked = "-h, --help [GROUP]" if groups else "-h, --help"
        options = [
            *(self._setting(name, width, brief) for name in named),
            *(self._option(name, width) for name in others),
            _row(asked, "Print this page, or that of a group or setting." if groups else "Print this page.", width),
        ]
        parts = [self._usage(width), textwrap.fill(self.description, width), self._examples(width)]
        if self.positional:
            parts.append("\n".join(["arguments:", *(self._setting(name, width) for name in self.positional)]))
        parts.append("\n".join(["options:", *options]))
        if whole:
            parts += [self._group(name, width) for name in groups]
        elif groups:
            margin = max(map(len, groups)) + 4
            rows = [_row(name, _first_sentence(doc), width, margin) for name, doc in groups.items()]
            parts.append("\n".join([f"groups of settings, explained by --help GROUP or --help {_ALL}:", *rows]))
        return "\n\n".join(filter(None, parts))

    def _usage(self, width: int) -> str:
        actions = self._actions
        words = [name.upper() if actions[name].required else f"[{name.upper()}]" for name in self.positional]
        words += [
            f"--{name} {name.rpartition('.')[2].upper()}"
            for name in self._types
            if actions[name].required and name not in self.positional
        ]
        line = " ".join([f"usage: {self.usage}", *words, "[--SETTING VALUE ...]"])
        return textwrap.fill(line, width, subsequent_indent=" " * 8, break_on_hyphens=False, break_long_words=False)

    def _examples(self, width: int) -> str:
        lines = []
        for task, arguments in self.examples.items():
            lines += [f"  {task}:"] if task else []
            lines.append(command_line(f"{self.usage} {arguments}", width, indent="    " if task else "  "))
        return "\n".join(["examples:" if len(self.examples) > 1 else "example:", *lines]) if lines else ""

    def _group(self, name: str, width: int) -> str:
        lines = [self._setting(key, width) for key in self._types if key.startswith(f"{name}.")]
        return "\n".join([textwrap.fill(f"{name}: {self._groups[name]}", width), *lines])

    def _setting(self, name: str, width: int, brief: bool = False) -> str:
        action = self._actions[name]
        text = " ".join(action.help.split())
        if brief:
            return _row(f"--{name}", f"{_first_sentence(text)}.{' (required)' if action.required else ''}", width)
        default = "required" if action.required else f"default: {_as_text(action.default)}"
        head = name.upper() if name in self.positional else f"--{name}"
        return _row(head, f"{text} ({describe_type(self._types[name])}; {default})", width)

    def _option(self, name: str, width: int) -> str:
        text = "Print the settings as YAML, and exit." if name == "print_config" else self._actions[name].help
        return _row(f"--{name} {_NO_SETTINGS.get(name, '')}".rstrip(), text, width)

    @cached_property
    def _groups(self) -> dict[str, str]:
        return setting_groups(self.kind)

    @cached_property
    def _types(self) -> dict[str, object]:
        return dict(setting_types(self.kind))

    @cached_property
    def _actions(self) -> dict[str, Action]:
        return {action.dest: action for action in self.actions}


def command_line(command: str, width: int, indent: str) -> str:
    """A command, in several lines that a shell joins if it is longer than ``width``."""
    lines = textwrap.wrap(
        command,
        width - 2,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return " \\\n".join(lines)


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")


def _row(head: str, text: str, width: int, margin: int = 26) -> str:
    """An entry: its name, and beside it, from the column ``margin`` on, what it means."""
    lines = textwrap.wrap(text, max(width - margin, 20), break_on_hyphens=False, break_long_words=False)
    if len(head) + 4 > margin:
        lines.insert(0, "")
    indent = " " * margin
    return "\n".join([f"  {head:<{margin - 2}}{lines[0]}".rstrip(), *(indent + line for line in lines[1:])])


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
