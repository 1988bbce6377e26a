"""Draws a line of text in any script with Pillow, in as many fonts as its characters need."""

import unicodedata

from PIL import ImageDraw, features

from mindvit.visualize.fonts import Face, clusters, load_face, split_by_font

_ELLIPSIS = "…"


def text_width(text: str, size: int) -> float:
    """The width of a text, in pixels.

    Args:
        text: one line, as ``fonts.drawable`` returns it.
        size: pixels per em.
    """
    direction = _direction(text)
    return sum(load_face(face, size).getlength(run, direction=direction) for run, face in _visual_order(text))


def draw_text(draw: ImageDraw.ImageDraw, start: tuple[float, float], text: str, size: int, fill: object) -> None:
    """Draws a text.

    Args:
        draw: the image.
        start: where it begins on the left, and its baseline, in pixels.
        text: one line, as ``fonts.drawable`` returns it.
        size: pixels per em.
        fill: its color.
    """
    left, baseline = start
    direction = _direction(text)
    for run, face in _visual_order(text):
        font = load_face(face, size)
        draw.text((left, baseline), run, fill, font, anchor="ls", direction=direction)
        left += font.getlength(run, direction=direction)


def shorten(text: str, size: int, width: float) -> str:
    """The text, or as many of its first characters and an ellipsis as fit into a width, in pixels."""
    if text_width(text, size) <= width:
        return text
    parts = list(clusters(text))
    fitting, too_many = 0, len(parts)
    while fitting + 1 < too_many:
        middle = (fitting + too_many) // 2
        fits = text_width("".join(parts[:middle]).rstrip() + _ELLIPSIS, size) <= width
        fitting, too_many = (middle, too_many) if fits else (fitting, middle)
    return "".join(parts[:fitting]).rstrip() + _ELLIPSIS


def _visual_order(text: str) -> list[tuple[str, Face]]:
    # Pillow orders the letters within a run. The runs of a text that starts in a right-to-left script follow leftwards.
    runs = split_by_font(unicodedata.normalize("NFC", text))
    return runs[::-1] if _starts_from_right(text) else runs


def _starts_from_right(text: str) -> bool:
    return next((kind for kind in map(unicodedata.bidirectional, text) if kind in ("L", "R", "AL")), "L") != "L"


def _direction(text: str) -> str | None:
    """The direction of the whole text for Pillow, which takes none without Raqm."""
    if not features.check("raqm"):
        return None
    return "rtl" if _starts_from_right(text) else "ltr"
