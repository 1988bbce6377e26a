"""The reliability diagram: accuracy by confidence."""

from markupsafe import Markup
from matplotlib.axes import Axes

from mindvit.evaluation.calibration import Calibration
from mindvit.report.inline_svg import GRID, SERIES, TEXT, draw_inline


def reliability_diagram(calibration: Calibration, name: str, color: int = 1) -> Markup:
    """Draws the accuracy of each bin of confidence beside the line of perfect calibration (Guo et al., 2017).

    Args:
        calibration: the calibration.
        name: a name that no other figure of the page has.
        color: number of the color of the bars, from 1.
    """
    bins = [item for item in calibration.bins if item.num_images]
    total = sum(item.num_images for item in bins)

    def draw(axes: Axes) -> None:
        for item in bins:
            share = item.num_images / total
            axes.bar(
                item.low,
                item.accuracy,
                item.high - item.low,
                align="edge",
                color=SERIES[color - 1],
                alpha=0.25 + 0.75 * min(1.0, 3 * share),  # Bins of few images are pale: their accuracy says little.
                edgecolor=SERIES[color - 1],
                linewidth=0.6,
            )
        axes.plot([0, 1], [0, 1], color=TEXT, linestyle="--", linewidth=1)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="Confidence", ylabel="Accuracy")
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)

    said = "; ".join(
        f"confidence {item.confidence:.2f}: accuracy {item.accuracy:.2f}, {item.num_images} images" for item in bins
    )
    return draw_inline(draw, name, "Reliability diagram: accuracy by confidence", said, size=(4.2, 3.0))
