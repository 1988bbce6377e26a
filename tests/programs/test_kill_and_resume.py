"""A run that is killed at any moment and then resumed has the same result, bit for bit, as an uninterrupted run."""

import json
import subprocess
import sys

import pytest

from mindvit.weights.checkpoint import TRAIN_STATE_KEY
from mindvit.weights.formats.ckpt import read_ckpt
from tests.conftest import ROOT, TINY
from tests.programs.jobs import assert_same_tensors, metrics_without_timings, options, write_images

pytestmark = pytest.mark.slow

# Runs sessions one after the other, each in a process of its own: folder, moment at which the process kills itself with
# SIGKILL, and options. Before a device is set, MindSpore has no state that a fork could break, so it is imported once.
SESSIONS = f"""
import json, os, signal, sys
from pathlib import Path

sys.path.insert(0, {str(ROOT)!r})

import mindspore as ms
from mindvit.cli import run_command
from mindvit.evaluation.metrics import TopK
from mindvit.training import trainer
from mindvit.training.callbacks.metrics_log import MetricsLog
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.weights.metadata import CheckpointMetadata


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(moment, count):
    def wrap(name_of_moment, owner, name, after=False):
        original, calls = getattr(owner, name), []

        def wrapped(*args, **kwargs):
            calls.append(name)
            if len(calls) == count and not after:
                die()
            result = original(*args, **kwargs)
            if len(calls) == count:
                die()
            return result

        if moment == name_of_moment:
            setattr(owner, name, wrapped)

    def save_and_die(content, path, **kwargs):
        save(content, path, **kwargs)
        if Path(path).name.startswith("epoch") and moment in ("half", "rename"):
            written.append(path)
            if len(written) == count:
                if moment == "half":
                    os.truncate(path, os.path.getsize(path) // 2)
                die()

    wrap("step", MetricsRecorder, "on_train_step_end", after=True)
    wrap("evaluation", TopK, "update", after=True)
    wrap("weights", CheckpointMetadata, "to_json")
    wrap("line", MetricsLog, "_append", after=True)
    wrap("summary", trainer, "write_summary")
    written = []
    save, ms.save_checkpoint = ms.save_checkpoint, save_and_die


def run(folder, moment, options):
    die_at(moment.partition(":")[0], int(moment.partition(":")[2]))
    sys.argv = [{str(ROOT / "train.py")!r}, *options, "--output_dir", str(folder)]
    try:
        run_command("train")
    except SystemExit as ended:
        os._exit(ended.code or 0)


for folder, moment, options in json.loads(Path(sys.argv[1]).read_text()):
    print("session", moment, flush=True)
    child = os.fork()
    if child == 0:
        run(Path(folder), moment, options)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != (0 if moment == "never:0" else -signal.SIGKILL):
        sys.exit(f"{{moment}}: exit code {{code}}")
"""

# A small model, with everything that makes an exact resumption difficult.
SETTINGS = {
    **{f"model.{name}": value for name, value in TINY.items()},
    **{"model.name": "vit_mini_4_32", "model.drop_path": 0.2, "model.dropout": 0.1},
    **{"data.batch_size": 2, "data.num_workers": 2, "train.accumulate_steps": 2, "train.epochs": 3},
    **{"augment.auto_augment": "randaugment", "augment.mixup": 0.8, "augment.cutmix": 1.0},
    **{"augment.random_erasing": 0.5, "augment.color_jitter": 0.3, "ema.decay": 0.9, "swa.start_epoch": 2},
    **{"optimizer.lr": 0.01, "optimizer.clip_norm": 1.0, "schedule.warmup_epochs": 1},
    **{"checkpoint.every_steps": 2, "checkpoint.keep_best": 2, "train.log_steps": 1, "runtime.peak_tflops": 0.1},
}
# An epoch has 6 steps. Training checkpoints are written every second step and at the end of each epoch.
MOMENTS = [
    "step:1",  # Before the first training checkpoint.
    "step:5",  # In the middle of an epoch, after two training checkpoints.
    "half:1",  # While a training checkpoint is written; half of it is on the disk.
    "evaluation:2",
    "rename:2",  # A training checkpoint is written completely, but still has its temporary name.
    "weights:2",  # Between the line of an epoch in metrics.jsonl and its weights.
    "line:4",
    "summary:1",  # Only the summary is missing.
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of a run that was never killed, and of a run that was killed at each of the moments in turn."""
    root = tmp_path_factory.mktemp("runs")
    (root / "sessions.py").write_text(SESSIONS)
    data = {"data.path": write_images(root / "images", train=26, val=10)}
    settings = options({**SETTINGS, **data, "resume": "auto"})
    sessions = [("whole", "never:0"), *(("killed", moment) for moment in (*MOMENTS, "never:0"))]
    given = [(str(root / name), moment, settings) for name, moment in sessions]
    (root / "sessions.json").write_text(json.dumps(given))
    command = [sys.executable, "sessions.py", "sessions.json"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "whole", root / "killed"


@pytest.mark.parametrize("name", ["last.ckpt", "last_ema.ckpt", "last_swa.ckpt", "best.ckpt"])
def test_weights_and_averages_are_bit_identical(runs, name):
    whole, killed = runs
    assert_same_tensors(whole / name, killed / name)


def test_losses_rates_norms_and_accuracies_are_identical(runs):
    whole, killed = map(metrics_without_timings, runs)
    assert len(whole) == 18 + 3, "one line per step and per epoch"
    assert whole == killed


def test_optimizer_states_and_progress_are_identical(runs):
    newest = [max((folder / "train_checkpoints").glob("*.ckpt")) for folder in runs]
    assert newest[0].name == newest[1].name
    tensors = assert_same_tensors(*newest)
    assert {name for name in tensors if name.startswith("optimizer.")}
    state, other = (json.loads(read_ckpt(path)[1][TRAIN_STATE_KEY]) for path in newest)
    for progress in (state, other):
        progress.pop("seconds")
        progress.pop("metrics_bytes")  # The number of digits of the speeds varies.
    assert state == other


def test_the_folders_hold_the_same_files(runs):
    whole, killed = ({str(path.relative_to(folder)) for path in folder.rglob("*")} for folder in runs)
    assert whole == killed, "no temporary files are left"
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in runs]
    for summary in summaries:
        summary.pop("train_seconds")
        summary.pop("images_per_second")
    assert summaries[0] == summaries[1]
