"""Texts in tables of a terminal, where a Chinese character takes two columns."""

import unicodedata


def text_columns(text: str) -> int:
    """The columns that a text takes: two for a wide character, none for a combining mark."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.category(char) in ("Mn", "Me", "Cf") for char in text)


def shorten(text: str, columns: int, keep_end: bool = False) -> str:
    """A text of at most some columns, with an ellipsis in place of what is left out.

    Args:
        text: one line, printable.
        columns: at least 1.
        keep_end: whether to leave out the beginning. The end of a path says more.
    """
    if text_columns(text) <= columns:
        return text
    while text_columns(text) > columns - 1:
        text = text[1:] if keep_end else text[:-1]
    return f"…{text}" if keep_end else f"{text}…"


def pad(text: str, columns: int) -> str:
    """A text with spaces after it, up to some columns."""
    return text + " " * (columns - text_columns(text))
