"""Makes texts from files harmless on a screen."""

import unicodedata
from collections.abc import Sequence

# Joiners are invisible, but Persian, Hindi and emoji need them, and they reorder nothing.
_HARMLESS = "\u200c\u200d"
_HARMFUL = ("Cc", "Cf", "Cs", "Zl", "Zp")


def printable(text: str, limit: int | None = None) -> str:
    """A text without characters that control a terminal, in one line.

    Control characters (such as those of terminal escape sequences and line breaks), characters that change the
    direction of the text, and surrogates (which stand for bytes of file names that are not UTF-8) are replaced by
    escape sequences, such as ``\\x1b``.

    Args:
        text: a text of unknown origin, such as a class name or a file name.
        limit: greatest length of the result, in characters; a longer one ends in an ellipsis. None: any length.
    """
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    shown = "".join(_escaped(char) if _is_harmful(char) else char for char in text)
    return shown if limit is None or len(shown) <= limit else shown[: limit - 1] + "…"


def first_names(names: Sequence[str], count: int = 5) -> str:
    """The first names, printable and separated by commas, with an ellipsis if there are more than ``count``."""
    return ", ".join(map(printable, names[:count])) + (", …" if len(names) > count else "")


def _is_harmful(char: str) -> bool:
    return unicodedata.category(char) in _HARMFUL and char not in _HARMLESS


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
