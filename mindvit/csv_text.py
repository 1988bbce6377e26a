"""Writes CSV that a spreadsheet shows as it is."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from mindvit.printable import printable

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What a text begins with that a spreadsheet takes for a formula."""


def csv_text(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table as CSV, one line for each row.

    Texts become printable, because a file name need not be valid UTF-8. A text that a spreadsheet would take for a
    formula gets an apostrophe before it.

    Args:
        header: names of the columns.
        rows: texts, numbers and None, which is an empty cell.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_safe(cell) for cell in row] for row in (header, *rows))
    return text.getvalue()


def _safe(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    cell = f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
    return printable(cell)
