"""A run that is killed at any moment and goes on ends exactly as one that was never killed."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from mindvit.weights.checkpoint import read_tensors
from tests.conftest import ROOT, TINY

# Kills its own process, as SIGKILL from outside would, at a moment that the first argument names.
KILLED = """
import os, signal, sys
from pathlib import Path

sys.path.insert(0, "{root}")
moment, count = sys.argv.pop(1).split(":")

from mindvit import files
from mindvit.cli import run


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def dying_at(place, name, moment_of, after=False):
    original, calls = getattr(place, name), []

    def wrapped(*args, **kwargs):
        if moment != moment_of:
            return original(*args, **kwargs)
        calls.append(name)
        if len(calls) == int(count) and not after:
            die()
        result = original(*args, **kwargs)
        if len(calls) == int(count):
            die()
        return result

    setattr(place, name, wrapped)


def main():
    from mindvit.parsing import parse
    from mindvit.training import trainer
    from mindvit.training.callbacks.weight_saver import WeightSaver
    from mindvit.training.callbacks.evaluate import Evaluate
    from mindvit.training.callbacks.metrics_log import MetricsLog
    from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
    from mindvit.training.recipe import Recipe
    from mindvit.training import states
    from mindvit.weights import checkpoint

    dying_at(MetricsRecorder, "on_train_step_end", "step", after=True)
    dying_at(checkpoint.CheckpointMetadata, "to_json", "weights")
    dying_at(MetricsLog, "_append", "line", after=True)
    dying_at(trainer, "write_summary", "summary")

    if moment == "evaluation":
        import mindvit.evaluation.metrics as metrics
        dying_at(metrics.TopK, "update", "evaluation", after=True)

    written = []

    def half_written(content, path, **kwargs):
        save(content, path, **kwargs)
        if Path(path).name.startswith("epoch") and moment in ("half", "key_map"):
            written.append(path)
            if len(written) == int(count):
                if moment == "half":
                    os.truncate(path, os.path.getsize(path) // 2)
                die()

    save, checkpoint.ms.save_checkpoint = checkpoint.ms.save_checkpoint, half_written
    trainer.train(parse(Recipe, "")[0])


run(main)
"""

EVERYTHING = {
    **{f"model.{name}": value for name, value in TINY.items()},
    **{"model.name": "vit_mini_4_32", "model.drop_path": 0.2, "model.dropout": 0.1},
    **{"data.batch_size": 2, "data.num_workers": 2, "train.accumulate_steps": 2, "train.epochs": 3},
    **{
        "augment.auto_augment": "randaugment",
        "augment.mixup": 0.8,
        "augment.cutmix": 1.0,
        "augment.random_erasing": 0.5,
    },
    **{"augment.color_jitter": 0.3, "ema.decay": 0.9, "swa.start_epoch": 2, "optimizer.lr": 0.01},
    **{"optimizer.clip_norm": 1.0, "schedule.warmup_epochs": 1, "checkpoint.every_steps": 2, "checkpoint.keep_best": 2},
    **{"train.log_steps": 1, "runtime.peak_tflops": 0.1},
}
# Steps are 6 an epoch; states are kept every second step and at the end of each epoch.
MOMENTS = [
    "step:1",  # Before the first state.
    "step:5",  # In the middle of an epoch, after two states.
    "half:1",  # While a state is written, half of which is on the disk.
    "evaluation:2",
    "key_map:2",  # A state is written whole but has not got its name yet.
    "weights:2",  # Between the epoch's line in metrics.jsonl and its weights.
    "line:4",
    "summary:1",  # Everything is done but the summary.
]


def arguments(folder, data):
    settings = {**EVERYTHING, "data.path": data, "output_dir": folder, "resume": "auto"}
    return [part for name, value in settings.items() for part in (f"--{name}", str(value))]


def figures(folder):
    """The lines of metrics.jsonl without what is measured by the clock."""
    clock = {"images_per_second", "mfu", "train_seconds", "eval_seconds"}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in clock} for line in lines]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, images):
    """The folders of a run that was never killed, and of one that was killed at each of the moments in turn."""
    root = tmp_path_factory.mktemp("runs")
    script = root / "killed.py"
    script.write_text(KILLED.format(root=ROOT))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(folder, moment):
        command = [sys.executable, str(script), moment, *arguments(folder, images)]
        return subprocess.Popen(
            command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    whole = start(root / "whole", "never:0")
    for moment in MOMENTS:
        killed = start(root / "killed", moment)
        out, _ = killed.communicate(timeout=120)
        assert killed.returncode == -signal.SIGKILL, f"{moment} was never reached\n{out}"
    last = start(root / "killed", "never:0")
    for process in (whole, last):
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0, out
    return root / "whole", root / "killed"


@pytest.fixture(scope="module")
def random_images(tmp_path_factory):
    from PIL import Image

    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, count in (("train", 13), ("val", 5)):
        for label, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                values = rng.integers(0, 200, (12, 12, 3)) + 50 * (np.arange(3) == label)
                Image.fromarray(values.astype(np.uint8)).save(root / split / name / f"{index}.png")
    return root


@pytest.mark.parametrize("name", ["last.ckpt", "last_ema.ckpt", "last_swa.ckpt", "best.ckpt"])
def test_weights_and_averages_are_bit_identical(runs, name):
    whole, killed = (read_tensors(folder / name)[0] for folder in runs)
    assert whole.keys() == killed.keys()
    for tensor, values in whole.items():
        np.testing.assert_array_equal(values.asnumpy(), killed[tensor].asnumpy(), err_msg=tensor)


def test_losses_rates_norms_and_accuracies_are_identical(runs):
    whole, killed = map(figures, runs)
    assert len(whole) == 18 + 3, "a line for each step and each epoch"
    assert whole == killed


def test_optimizer_and_position_are_identical(runs):
    newest = [max((folder / "states").glob("*.ckpt")) for folder in runs]
    assert newest[0].name == newest[1].name
    (whole, texts), (killed, other_texts) = map(read_tensors, newest)
    assert {name for name in whole if name.startswith("optimizer.")}
    for tensor, values in whole.items():
        np.testing.assert_array_equal(values.asnumpy(), killed[tensor].asnumpy(), err_msg=tensor)
    state, other = (json.loads(part["mindvit.state"]) for part in (texts, other_texts))
    for kept in (state, other):
        kept.pop("seconds")
        kept.pop("metrics_bytes")  # Speeds have more or fewer digits.
    assert state == other


def test_the_folders_hold_the_same_files(runs):
    whole, killed = ({str(path.relative_to(folder)) for path in folder.rglob("*")} for folder in runs)
    assert whole == killed, "nothing is left of what was being written"
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in runs]
    for summary in summaries:
        summary.pop("train_seconds")
        summary.pop("images_per_second")
    assert summaries[0] == summaries[1]
