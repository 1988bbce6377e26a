"""Figures of matplotlib as SVG inside an HTML page, in the colors of the page."""

import io
import re
from collections.abc import Callable

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# matplotlib knows no CSS variables, so each color of the page has a stand-in, which no other color of a figure equals.
TEXT, GRID = "#0000e0", "#0000e1"
SERIES = ("#0000f1", "#0000f2", "#0000f3", "#0000f4")
_CSS = {TEXT: "currentColor", GRID: "var(--line)"} | {
    color: f"var(--series-{number})" for number, color in enumerate(SERIES, 1)
}
_SIZE = (4.2, 2.5)
"""Inches of 72 units. A page shows a figure in 330 to 560 pixels, so the text of 9 units is legible on a phone."""
_STYLE = {
    "svg.fonttype": "none",  # The browser has fonts for the text.
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": TEXT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": GRID,
    "text.color": TEXT,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
}


def draw_inline(
    draw: Callable[[Axes], None], name: str, title: str, description: str, size: tuple[float, float] = _SIZE
) -> Markup:
    """Draws a figure with one pair of axes.

    Args:
        draw: draws on the axes, with ``TEXT``, ``GRID`` and ``SERIES`` as its only colors.
        name: a name that no other figure of the page has, of letters, digits and hyphens.
        title: what the figure shows, for a screen reader.
        description: what can be read from it, for a screen reader.
        size: width and height in inches of 72 units.
    """
    with rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        file = io.StringIO()
        empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=empty)
    return Markup(_for_page(file.getvalue(), name, title, description))


def _for_page(svg: str, name: str, title: str, description: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # It would apply to the whole page.
    svg = re.sub(r"\s*font-family: [^;\"]*;?", "", svg)
    svg = re.sub(r' id="(?!(?:m|p)[0-9a-f]{10}")[^"]*"', "", svg)  # Other ids are the same in each figure.
    svg = re.sub(r'(id="|"#|url\(#)(?=[mp][0-9a-f]{10})', rf"\1{name}-", svg)
    svg = re.sub(r"(\d+\.\d{2})\d+", r"\1", svg)
    for color, variable in _CSS.items():
        svg = svg.replace(color, variable)
    _, box, body = re.split(r"^<svg[^>]*viewBox=\"([^\"]*)\"[^>]*>", svg, maxsplit=1)
    return (
        f'<svg viewBox="{box}" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>{body.strip()}'
    )
