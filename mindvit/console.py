"""The width of the terminal, and texts that fit it."""

import os
import re
import shutil
import textwrap
from typing import TextIO

_ON_SCREEN = "MINDVIT_ON_SCREEN"
"""Set by the launcher if it shows the output of the process on a terminal; COLUMNS is then its width."""
_MIN_COLUMNS = 40


def terminal_columns(stream: TextIO) -> int | None:
    """Columns of the terminal that a stream writes to, at least 40. None if it is a file or a pipe."""
    if stream.isatty():
        try:
            columns = os.get_terminal_size(stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return max(columns or 80, _MIN_COLUMNS)  # A terminal over a serial line reports 0.
    if _ON_SCREEN in os.environ:
        return max(shutil.get_terminal_size().columns, _MIN_COLUMNS)
    return None


def fit_text(text: str, columns: int | None, indent: int | None = None) -> str:
    """Breaks the lines of a text that are too long, at spaces.

    Args:
        text: the text.
        columns: width of the terminal; None breaks no line.
        indent: spaces before what follows the first part of a line. None takes the column at which the last column of
            a table begins, so that a table stays one, or the second if that is beyond the middle.
    """
    if columns is None:
        return text
    return "\n".join(_fit_line(line, columns - 1, indent) for line in text.split("\n"))


def _fit_line(line: str, width: int, indent: int | None) -> str:
    if len(line) <= width:
        return line
    longest = max(map(len, line.split()))
    ends = [found.end() for found in re.finditer(r" {2,}(?=\S)", line)]
    gaps = [end for end in ends if end <= width // 2 and (end + longest <= width or end == ends[0])]
    parts = textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * (max(gaps, default=0) if indent is None else indent),
        drop_whitespace=True,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(parts)


def fit_groups(groups: list[list[str]], columns: int | None, indent: int) -> str:
    """One line, or a line for each group if one would be too long, or several where even a group is.

    Args:
        groups: what stands together, such as the metrics of one kind of weights.
        columns: width of the terminal; None means a single line.
        indent: spaces before each line but the first.
    """
    whole = "  ".join(item for group in groups for item in group)
    if columns is None or len(whole) < columns:
        return whole
    lines = []
    for group in groups:
        line = ""
        for item in group:
            start = " " * indent if lines else ""
            longer = f"{line}  {item}" if line else start + item
            if line and len(longer) >= columns:
                lines.append(line)
                longer = " " * indent + item
            line = longer
        lines.append(line)
    return "\n".join(lines)
