import json

import numpy as np
import pytest
import yaml

from mindvit.config import plain
from mindvit.report.run_evaluation import RunEvaluation
from mindvit.report.run_record import read_run
from mindvit.training.recipe import Recipe
from tests.evaluation.builders import random_case, record_of

HOSTILE = "<script>alert(1)</script>"


def epoch(number, **values):
    """A line of metrics.jsonl."""
    base = {"event": "epoch", "epoch": number, "step": 10 * number, "train_loss": 2 / number, "lr": 1e-3 / number}
    speed = {"grad_norm": 1.5, "images_per_second": 100.0 + number, "train_seconds": 10.0, "eval_seconds": 2.0}
    found = {"top1": 50.0 + number, "top5": 90.0, "val_loss": 1 / number, "num_images": 200}
    return base | speed | found | values


@pytest.fixture
def make_run(tmp_path):
    """Writes a run folder without weights."""

    def make(name="run", epochs=3, summary=None, extra="", **settings):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        content = plain(Recipe())
        for dotted, value in settings.items():
            group, _, key = dotted.partition("__")
            content[group][key] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        lines = [json.dumps(epoch(number)) + "\n" for number in range(1, epochs + 1)]
        (folder / "metrics.jsonl").write_text("".join(lines) + extra)
        if summary:
            (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return make


@pytest.fixture
def evaluated(make_run):
    """A run and its evaluation."""

    def make(name="run", names=None, seed=0, num_classes=7, **about):
        predictions, split = random_case(np.random.default_rng(seed), num_classes=num_classes, names=names)
        return read_run(make_run(name)), RunEvaluation(record_of(predictions, split, **about))

    return make
