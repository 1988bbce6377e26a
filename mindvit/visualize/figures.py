"""Figures that are written to a file: their formats, and their fonts."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mindvit.errors import UserError
from mindvit.files import replacing
from mindvit.visualize.fonts import font_family

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")
"""Extensions of the files that a figure can be written to."""


def check_figure_path(path: str) -> None:
    """Checks the extension of a figure.

    Raises:
        ValueError: if no figure can be written to such a file.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise ValueError(f"output must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, not {path!r}")


def check_colormap(name: str) -> None:
    """Checks the name of a colormap.

    Raises:
        UserError: if Matplotlib has none of this name; the message names the nearest.
    """
    import difflib

    import matplotlib

    if name not in matplotlib.colormaps:
        nearest = difflib.get_close_matches(name, list(matplotlib.colormaps), n=1, cutoff=0.0)
        raise UserError(f"Matplotlib has no colormap {name!r}; the nearest is {nearest[0]!r}")


def make_figure(width: float, height: float, layout: str = "constrained") -> "Figure":
    """An empty figure that needs no display.

    Args:
        width: in inches.
        height: in inches.
        layout: layout engine of Matplotlib.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # The import takes half a second.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def write_figure(figure: "Figure", path: Path, texts: Iterable[str] = (), dpi: int = 150) -> None:
    """Writes a figure to a file, atomically; the extension sets the format.

    Args:
        figure: the figure.
        path: the file.
        texts: texts of the figure that may need another font, such as class names, as ``fonts.drawable`` returns them.
        dpi: pixels per inch.

    Raises:
        UserError: if the file cannot be written.
    """
    import matplotlib

    # Mathematical notation is off: a name such as $x$ is drawn as it is.
    settings = {"font.family": font_family(texts), "text.parse_math": False, "svg.fonttype": "path"}
    with matplotlib.rc_context(settings), replacing(path) as temporary:
        for text in figure.findobj(matplotlib.text.Text):
            text.set_family(settings["font.family"])
            text.set_parse_math(False)
        figure.savefig(temporary, dpi=dpi)
