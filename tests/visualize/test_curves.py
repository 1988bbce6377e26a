import json

import numpy as np
import pytest
from PIL import Image

from mindvit.visualize.curves import draw_curves


def write(path, epochs, evaluated, averages=()):
    lines = [{"event": "step", "epoch": 1, "step": 5, "train_loss": 9.0}]
    for epoch in range(1, epochs + 1):
        line = {"event": "epoch", "epoch": epoch, "train_loss": 1 / epoch, "lr": 0.1}
        if evaluated:
            line |= {"val_loss": 2 / epoch, "top1": 50.0 + epoch, "top5": 90.0}
        for average in averages:
            line |= {f"{average}_val_loss": 1.5 / epoch, f"{average}_top1": 60.0 + epoch}
        lines.append(line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.slow
def test_curves_are_drawn_with_and_without_evaluation_and_averages(tmp_path):
    colored_pixels = {}
    cases = (("none", 0, False, ()), ("loss", 3, False, ()), ("all", 3, True, ()), ("ema", 3, True, ("ema",)))
    for name, *case in (*cases, ("swa", 3, True, ("ema", "swa"))):
        write(tmp_path / "metrics.jsonl", *case)
        draw_curves(tmp_path / "metrics.jsonl", tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.size[0] > 1000
            pixels = np.asarray(image.convert("RGB")).astype(int)
        colored_pixels[name] = int((np.ptp(pixels, axis=2) > 60).sum())
    assert 0 == colored_pixels["none"] < colored_pixels["loss"] < colored_pixels["all"]
    assert colored_pixels["all"] < colored_pixels["ema"] < colored_pixels["swa"]


def test_metrics_that_are_null_have_no_point(tmp_path):
    write(tmp_path / "metrics.jsonl", 3, True)
    text = (tmp_path / "metrics.jsonl").read_text()
    draw_curves(tmp_path / "metrics.jsonl", tmp_path / "all.png")
    null = {"event": "epoch", "epoch": 3, "train_loss": None, "lr": 0.1, "val_loss": None, "top1": None, "top5": None}
    (tmp_path / "metrics.jsonl").write_text("\n".join([*text.splitlines()[:-1], json.dumps(null)]) + "\n")
    draw_curves(tmp_path / "metrics.jsonl", tmp_path / "null.png")
    images = [np.asarray(Image.open(tmp_path / name).convert("RGB")) for name in ("all.png", "null.png")]
    assert not np.array_equal(*images)
