"""Jobs of several real ranks, started with the scripts."""

import json
import re
import signal
import time

import psutil
import pytest

from mindvit.user_cache import user_cache_folder
from mindvit.weights.checkpoint import TRAIN_STATE_KEY
from mindvit.weights.formats.ckpt import read_ckpt
from tests.conftest import TINY
from tests.programs.jobs import (
    assert_same_tensors,
    finish,
    metrics_without_timings,
    options,
    read_metrics,
    start,
    wait_for,
    write_images,
)

pytestmark = pytest.mark.distributed

# A model of a few thousand weights, with everything that makes an exact resumption difficult.
SETTINGS = {
    **{f"model.{name}": value for name, value in TINY.items()},
    **{"model.name": "vit_mini_4_32", "model.drop_path": 0.2, "model.dropout": 0.1, "optimizer.shard_states": True},
    **{"data.batch_size": 2, "data.num_workers": 1, "train.accumulate_steps": 2, "train.epochs": 6},
    **{"augment.auto_augment": "randaugment", "augment.random_erasing": 0.5, "ema.decay": 0.9},
    **{"train.log_steps": 1, "checkpoint.every_steps": 1, "checkpoint.keep_last": 99},
    **{"runtime.peak_tflops": 0.1, "optimizer.clip_norm": 1.0, "optimizer.lr": 0.01},
}


def ranks_of(job):
    """The processes of a job by rank."""
    found = {}
    for process in psutil.Process(job.pid).children(recursive=True):
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if environment.get("MS_ROLE") == "MS_WORKER":
            found[int(environment["RANK_ID"])] = process
    return found


def num_lines(folder):
    """Lines of metrics.jsonl so far; the last one may be incomplete."""
    path = folder / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def stored_graphs():
    """The graphs in the cache of the programs, with the time at which each was stored or last loaded."""
    return {path: path.stat().st_mtime_ns for path in (user_cache_folder() / "graphs").glob("*.graph")}


def new_graphs(before):
    return {path: used for path, used in stored_graphs().items() if path not in before}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of an uninterrupted run, and of a run that was killed, resumed and stopped."""
    root = tmp_path_factory.mktemp("runs")
    recipe = root / "recipe.yaml"
    recipe.write_text(f"data: {{path: {write_images(root / 'images', train=26, val=11)}}}\n")
    results = {}

    def train(name):
        settings = options({**SETTINGS, "output_dir": root / name, "resume": "auto"})
        return start("run_distribute_train.sh", recipe, *settings, NPROC="2")

    before = stored_graphs()
    whole = train("whole")
    code, out, err = finish(whole)
    assert code == 0, out + err
    results["whole"] = out, err
    results["graphs"] = new_graphs(before)

    job = train("interrupted")
    wait_for(lambda: num_lines(root / "interrupted") >= 4, job)
    killed_at = time.monotonic()
    ranks_of(job)[1].send_signal(signal.SIGKILL)
    results["killed"] = *finish(job, 60), time.monotonic() - killed_at

    job = train("interrupted")
    wait_for(lambda: num_lines(root / "interrupted") >= 7, job)
    # Only one rank receives the signal; it informs the other rank.
    ranks_of(job)[1].send_signal(signal.SIGTERM)
    results["stopped"] = finish(job, 60)
    results["graphs after resuming"] = new_graphs(before)
    return root / "whole", root / "interrupted", results


def test_a_killed_rank_soon_ends_the_job_with_the_reason(runs):
    code, _, err, seconds = runs[2]["killed"]
    assert code == 1
    assert "error: rank 1 was killed by SIGKILL" in err
    assert "worker_1.log" in err
    assert seconds < 30


def test_a_signal_to_one_rank_stops_all_ranks_after_the_same_step(runs):
    code, out, err = runs[2]["stopped"]
    assert code == 130
    assert "the job was stopped" in err
    assert "stopped; kept" in out
    assert "bash scripts/run_distribute_train.sh" in out, "the command to resume"
    assert "Traceback" not in out + err


def test_an_interrupted_run_has_exactly_the_state_of_an_uninterrupted_run(runs):
    """The state after the stop holds all that follows, so the run is not resumed once more."""
    whole, interrupted, _ = runs
    metrics, found = map(metrics_without_timings, (whole, interrupted))
    assert len(metrics) == 6 * 3 + 6, "one line per step and per epoch"
    assert 7 <= len(found) < len(metrics)
    assert found == metrics[: len(found)]
    newest = max((interrupted / "train_checkpoints").iterdir())
    step = re.match(r"epoch\d+-step\d+", newest.name)[0]
    (same,) = (whole / "train_checkpoints").glob(f"{step}*")  # A stop at the end of an epoch precedes its evaluation.
    assert_same_tensors(same, newest)
    expected, state = (json.loads(read_ckpt(path)[1][TRAIN_STATE_KEY]) for path in (same, newest))
    for progress in (expected, state):
        for name in ("seconds", "metrics_bytes", "recorded_epochs", "best"):
            progress.pop(name)
    assert state == expected


def test_a_job_that_starts_again_loads_the_graphs_of_both_ranks(runs):
    """That it then computes the same is the test above: the interrupted run has loaded what the other one compiled."""
    stored, later = runs[2]["graphs"], runs[2]["graphs after resuming"]
    assert len(stored) == 2 * 3, "training step, evaluation of the weights and of their average, on each rank"
    assert later.keys() == stored.keys(), "nothing was compiled again, and no graph was found to be unusable"
    assert all(later[path] > used for path, used in stored.items())


def test_only_rank_0_is_on_the_screen_and_writes(runs):
    whole, _, results = runs
    out, _ = results["whole"]
    assert "2 ranks, scheduler at 127.0.0.1:" in out
    assert "amp_level O0, 2 ranks" in out
    assert out.count("best epoch") == 1
    assert "[INFO]" not in out
    (logs,) = (whole / "logs").iterdir()
    assert {path.name for path in logs.iterdir()} == {"msrun.log", "scheduler.log", "worker_0.log", "worker_1.log"}
    assert str(logs) in out
    assert "best epoch" not in (logs / "worker_1.log").read_text()
    epochs = [line for line in read_metrics(whole) if line["event"] == "epoch"]
    assert [line["num_images"] for line in epochs] == [11] * 6, "each image once"
    assert json.loads((whole / "summary.json").read_text())["num_images"] == 11


def test_one_rank_resumes_from_a_training_checkpoint_of_two(runs, run_program, tmp_path):
    whole, _, _ = runs
    folder = tmp_path / "one_rank"
    checkpoint = sorted((whole / "train_checkpoints").iterdir())[-4]
    resumed = ["--config", whole / "config.yaml", "--output_dir", folder, "--resume", checkpoint]
    code, _, err = run_program("train.py", *resumed)
    assert code == 2
    assert "world_size: 2 -> 1" in err
    changes = ["--allow_config_changes", "true", "--data.batch_size", 4, "--runtime.mode", "pynative"]
    code, out, err = run_program("train.py", *resumed, *changes)
    assert code == 0, out + err
    before = json.loads(read_ckpt(checkpoint)[1][TRAIN_STATE_KEY])["step"]
    steps = [line["step"] for line in read_metrics(folder) if line["event"] == "step"]
    assert steps == list(range(before + 1, 19))
    # A step has the same images, so only rounding differs.
    losses = [
        [line["train_loss"] for line in metrics_without_timings(run) if line["event"] == "epoch"][-1]
        for run in (whole, folder)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_an_error_on_all_ranks_is_reported_once(tmp_path):
    root = write_images(tmp_path / "images", train=2, val=2)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"data: {{path: {root}, batch_size: 2}}\nmodel: {{name: vit_mini_4_32}}\n")
    code, out, err = finish(start("run_distribute_train.sh", recipe, "--output_dir", tmp_path / "run", NPROC="2"))
    assert code == 2
    assert (out + err).count("error: ") == 1
    assert "error: a step takes 2 images on each of 2 ranks" in out
    assert "has only 2 training images" in out
    assert not list((tmp_path / "run").glob("*.*")), "no file is written"
