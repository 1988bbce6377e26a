"""The names of classes as they are drawn."""

from collections.abc import Iterable
from typing import Protocol

from mindvit.printable import printable
from mindvit.visualize.fonts import drawable, note_missing_fonts

_MAX_NAME = 300
"""Characters; far more than an image has space for."""


class RankedClass(Protocol):
    """A prediction, as it is drawn."""

    label: int
    id: str
    name: str
    probability: float


def drawn_name(prediction: RankedClass) -> str:
    """The name of a class; its id if no installed font has the name, and "class N" if none has the id either.

    Control characters are written as escape sequences.
    """
    candidates = (printable(text, _MAX_NAME) for text in (prediction.name, prediction.id))
    return next(filter(None, map(drawable, candidates)), f"class {prediction.label}")


def note_undrawable(predictions: Iterable[RankedClass]) -> None:
    """Warns once about the names that no installed font has, with the cure."""
    note_missing_fonts(printable(prediction.name, _MAX_NAME) for prediction in predictions)
