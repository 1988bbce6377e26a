"""The help of all commands, in a process with MindSpore or without it."""

from contextlib import redirect_stdout, suppress
from io import StringIO

from mindvit.command_table import COMMANDS

TOPICS = {"train": (["--help"], ["--help", "all"], ["-h", "runtime"])}


def help_pages() -> dict[str, str]:
    """What each command prints for ``--help``, and ``train`` for pages of its settings too."""
    leaves = {}
    for name, command in COMMANDS.items():
        parts = {f"{name} {other}": item for other, item in command.commands.items()}
        leaves |= parts or {name: command}
    pages = {}
    for name, command in leaves.items():
        for topic in TOPICS.get(name, (["--help"],)):
            with redirect_stdout(StringIO()) as printed, suppress(SystemExit):
                command.start(topic, f"mindvit {name}")
            pages[" ".join([name, *topic])] = printed.getvalue()
    return pages
