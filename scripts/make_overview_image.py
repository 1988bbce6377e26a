"""Draws the figure of the README from the quickstart's run: predictions, attention rollout and learning curves.

Usage, from the project's folder, after bash scripts/quickstart.sh:
python scripts/make_overview_image.py [--run output/quickstart] [--images dataset/digits/val] [--output FILE]
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mindspore as ms

import mindvit
from mindvit.data.images import read_image
from mindvit.visualize.attention_maps import AttentionMaps, evaluation_crop, overlay, scaled

COLUMNS, UNSURE = 5, 2
BLUE, GRAY, ORANGE = "#3949ab", "#9e9e9e", "#ef6c00"


def choose(folder: Path, model: mindvit.TrainedModel) -> list[tuple[Path, list[mindvit.Prediction]]]:
    """Two images of which the network is least sure, though right, and others in the middle; each of another class."""
    files = sorted(folder.glob("*/*.png"))
    ranked = list(zip(files, mindvit.predict(files, model, top_k=3), strict=True))
    right = [row for row in ranked if row[1][0].name == row[0].parent.name]
    right.sort(key=lambda row: row[1][0].probability)
    chosen: dict[str, tuple] = {}
    for count, rows in ((UNSURE, right), (COLUMNS, right[len(right) // 2 :])):
        for row in rows:
            if len(chosen) < count:
                chosen.setdefault(row[0].parent.name, row)
    return [chosen[name] for name in sorted(chosen)]


def draw(run: Path, images: Path, output: Path) -> None:
    """Draws the figure of a run and its validation images."""
    model = mindvit.load_trained(str(run / "best.ckpt"))
    maps = AttentionMaps(model)
    epochs = [line for line in map(json.loads, (run / "metrics.jsonl").open()) if line["event"] == "epoch"]
    figure = plt.figure(figsize=(12, 4.6), dpi=100, layout="constrained")
    grid = figure.add_gridspec(3, COLUMNS + 3, height_ratios=[3, 3, 1.7])
    for column, (path, predictions) in enumerate(choose(images, model)):
        image = read_image(path)
        crop = evaluation_crop(image, model.metadata.model)
        heat = scaled(maps(image).rollout)
        for row, (panel, title) in enumerate(((crop, "image"), (overlay(crop, heat), "attention rollout"))):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(panel)
            axes.set(xticks=[], yticks=[])
            if column == 0:
                axes.set_ylabel(title, fontsize=11)
        axes = figure.add_subplot(grid[2, column])
        names = [prediction.name for prediction in predictions]
        shares = [100 * prediction.probability for prediction in predictions]
        axes.barh(range(len(names)), shares, color=[BLUE, GRAY, GRAY])
        for rank, share in enumerate(shares):
            inside = share > 60
            place = {"x": share - 3, "ha": "right", "color": "white"} if inside else {"x": share + 3}
            axes.text(y=rank, s=f"{share:.1f} %", va="center", fontsize=8, **place)
        axes.set(yticks=range(len(names)), yticklabels=names, xticks=[], xlim=(0, 100))
        axes.invert_yaxis()
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        if column == 0:
            axes.set_ylabel("classes", fontsize=11)
    numbers = [line["epoch"] for line in epochs]
    axes = figure.add_subplot(grid[:, COLUMNS:])
    axes.plot(numbers, [line["top1"] for line in epochs], color=BLUE, label="weights")
    axes.plot(numbers, [line["ema_top1"] for line in epochs], color=ORANGE, label="their moving average (EMA)")
    best = max(max(line["top1"], line["ema_top1"]) for line in epochs)
    axes.axhline(best, color=GRAY, linewidth=1, linestyle="--")
    axes.text(numbers[0], best + 0.8, f"best: {best:.2f} %", fontsize=10)
    axes.set(xlabel="epoch", ylim=(None, 104), title="Top-1 on the validation images, %")
    axes.legend(loc="lower right", frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(output)
    quantize(output)


def quantize(path: Path) -> None:
    """Stores an image with 256 colors, which is a third of its size."""
    from PIL import Image

    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def main() -> None:
    """Reads the options and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("output/quickstart"))
    parser.add_argument("--images", type=Path, default=Path("dataset/digits/val"))
    parser.add_argument("--output", type=Path, default=Path("docs/images/overview.png"))
    options = parser.parse_args()
    ms.set_context(mode=ms.GRAPH_MODE)
    draw(options.run, options.images, options.output)


if __name__ == "__main__":
    main()
