"""Training curves."""

import json
from pathlib import Path

from mindvit.files import replacing


def draw_curves(metrics: Path, target: Path) -> None:
    """Draws loss, accuracy and learning rate over the epochs of a ``metrics.jsonl`` as a PNG.

    Args:
        metrics: the file of JSON lines that ``MetricsLog`` writes.
        target: the PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # Takes half a second to import.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    records = [line for line in lines if line["event"] == "epoch"]

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = {
        "Loss": {"train_loss": "train", "val_loss": "val", "ema_val_loss": "val, EMA", "swa_val_loss": "val, SWA"},
        "Accuracy, %": {"top1": "Top-1", "top5": "Top-5", "ema_top1": "Top-1, EMA", "swa_top1": "Top-1, SWA"},
        "Learning rate": {"lr": "at the epoch's end"},
    }
    for axes, (title, curves) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for key, label in curves.items():
            points = [(record["epoch"], record[key]) for record in records if key in record]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=label)
        axes.set(title=title, xlabel="Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    with replacing(target) as temporary:
        figure.savefig(temporary, dpi=120)
