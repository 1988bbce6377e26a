"""Contact sheets: thumbnails of many images with their best class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from mindvit.printable import printable
from mindvit.visualize.class_labels import RankedClass, drawn_name
from mindvit.visualize.fonts import drawable
from mindvit.visualize.image_file import check_image_file, write_image
from mindvit.visualize.text import draw_text, shorten, text_width

THUMBNAIL = 192
"""Greatest side of a thumbnail, in pixels."""
_COLUMNS, _ROWS = 6, 8
PER_PAGE = _COLUMNS * _ROWS
_GAP, _LINE, _BAR_HEIGHT = 12, 22, 4
_CELL = (THUMBNAIL + _GAP, THUMBNAIL + _GAP + 2 * _LINE + _BAR_HEIGHT + 4)
_NAME_SIZE, _FILE_SIZE = 16, 12
_BACKGROUND, _FRAME, _BAR, _TEXT, _FAINT = (32, 32, 32), (48, 48, 48), (60, 140, 210), (255, 255, 255), (170, 170, 170)


@dataclass(frozen=True, eq=False)
class SheetEntry:
    """An image on a contact sheet."""

    thumbnail: Image.Image
    """RGB, as ``make_thumbnail`` returns it."""
    best: RankedClass
    """Its most probable class."""
    caption: str
    """Its file name."""


def make_thumbnail(image: Image.Image) -> Image.Image:
    """The image with a longer side of 192 pixels; the pixels of a tiny one stay visible as squares."""
    factor = THUMBNAIL / max(image.size)
    size = tuple(max(round(side * factor), 1) for side in image.size)
    if factor > 1:
        return image.resize(size, Image.Resampling.NEAREST if factor > 4 else Image.Resampling.BICUBIC)
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


class ContactSheetWriter:
    """Writes contact sheets of at most 48 images each, so that memory is bounded.

    The pages of ``sheet.png`` are ``sheet.png``, ``sheet_2.png``, ``sheet_3.png`` and so on.

    Args:
        path: the file of the first page; its extension selects the format.

    Raises:
        UserError: if the extension is not that of an image.
    """

    def __init__(self, path: Path) -> None:
        check_image_file(path)
        self.path = path
        self.pages: list[Path] = []
        self._waiting: list[SheetEntry] = []

    def add(self, entry: SheetEntry) -> None:
        """Adds an image; a page that is full is written.

        Raises:
            UserError: if the page cannot be written.
        """
        self._waiting.append(entry)
        if len(self._waiting) == PER_PAGE:
            self.close()

    def close(self) -> None:
        """Writes the last page.

        Raises:
            UserError: if it cannot be written.
        """
        if self._waiting:
            number = f"_{len(self.pages) + 1}" if self.pages else ""
            page = self.path.with_name(f"{self.path.stem}{number}{self.path.suffix}")
            write_image(draw_contact_sheet(self._waiting), page)
            self.pages.append(page)
            self._waiting = []


def draw_contact_sheet(entries: Sequence[SheetEntry]) -> Image.Image:
    """Draws a page: a grid of thumbnails, below each its best class, the probability, and the file name."""
    columns = min(_COLUMNS, len(entries))
    rows = -(-len(entries) // columns)
    sheet = Image.new("RGB", (columns * _CELL[0] + _GAP, rows * _CELL[1] + _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for index, entry in enumerate(entries):
        row, column = divmod(index, columns)
        _draw_entry(sheet, draw, entry, _GAP + column * _CELL[0], _GAP + row * _CELL[1])
    return sheet


def _draw_entry(sheet: Image.Image, draw: ImageDraw.ImageDraw, entry: SheetEntry, left: int, top: int) -> None:
    draw.rectangle((left, top, left + THUMBNAIL - 1, top + THUMBNAIL - 1), _FRAME)
    offset = ((THUMBNAIL - side) // 2 for side in entry.thumbnail.size)
    sheet.paste(entry.thumbnail, tuple(start + gap for start, gap in zip((left, top), offset, strict=True)))
    top += THUMBNAIL + 2
    width = round(THUMBNAIL * entry.best.probability)
    if width > 0:
        draw.rectangle((left, top, left + width - 1, top + _BAR_HEIGHT - 1), _BAR)
    top += _BAR_HEIGHT
    percent = f"{100 * entry.best.probability:.1f} %"
    right = left + THUMBNAIL - text_width(percent, _NAME_SIZE)
    name = shorten(drawn_name(entry.best), _NAME_SIZE, right - left - 8)
    draw_text(draw, (left, top + 18), name, _NAME_SIZE, _TEXT)
    draw_text(draw, (right, top + 18), percent, _NAME_SIZE, _TEXT)
    caption = drawable(printable(entry.caption, 100)) or ascii(entry.caption)
    draw_text(draw, (left, top + 18 + _LINE - 4), shorten(caption, _FILE_SIZE, THUMBNAIL), _FILE_SIZE, _FAINT)
