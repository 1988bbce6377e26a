"""Plots of the metrics of a training run."""

from pathlib import Path

from mindvit.files import replacing
from mindvit.run_metrics import WeightsKind, read_epochs


def draw_curves(metrics: Path, target: Path) -> None:
    """Plots loss, accuracy and learning rate over the epochs of a ``metrics.jsonl`` as PNG.

    Args:
        metrics: the ``metrics.jsonl`` of a run.
        target: the PNG file.

    Raises:
        UserError: if the PNG cannot be written, or a line of the metrics is corrupt.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # The import takes half a second.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    records = read_epochs(metrics)
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = {
        "Loss": {"train_loss": "train", "val_loss": "val"} | _of_averages("val_loss", "val"),
        "Accuracy, %": {"top1": "Top-1", "top5": "Top-5"} | _of_averages("top1", "Top-1"),
        "Learning rate": {"lr": "at the end of the epoch"},
    }
    for axes, (title, curves) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for key, label in curves.items():
            if key == "top5" and all(record.get(key) in (None, 100) for record in records):
                continue  # With five classes or fewer it is 100 % whatever the network does.
            points = [(record["epoch"], record[key]) for record in records if record.get(key) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=label)
        axes.set(title=title, xlabel="Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    with replacing(target) as temporary:
        figure.savefig(temporary, dpi=120)


def _of_averages(metric: str, label: str) -> dict[str, str]:
    """Names and labels of a metric of the averaged weights."""
    return {kind.prefixed(metric): f"{label}, {kind.name}" for kind in (WeightsKind.EMA, WeightsKind.SWA)}
