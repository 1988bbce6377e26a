"""What the tables of cases have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ACCEPTED = None


@dataclass(frozen=True)
class Case:
    """A case with its outcome."""

    target: str
    name: str
    expected: str | None
    """A regular expression for the sentence that refuses it; None if it is accepted."""
    write: Callable[[Path], None]
    """Writes it into a folder."""

    def __str__(self):
        return f"{self.target}: {self.name}"


def written(file, data):
    """Writes bytes into a file."""
    return lambda folder: (folder / file).write_bytes(data)
