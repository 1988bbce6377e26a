"""Jobs of several real workers, started as a person starts them."""

import json
import signal
import time

import numpy as np
import psutil
import pytest

from mindvit.weights.checkpoint import read_tensors
from tests.conftest import TINY
from tests.programs.jobs import finish, options, start, write_images

# A model of a few thousand weights, and whatever makes going on exactly hard.
SETTINGS = {
    **{f"model.{name}": value for name, value in TINY.items()},
    **{"model.name": "vit_mini_4_32", "model.drop_path": 0.2, "model.dropout": 0.1, "optimizer.shard_states": True},
    **{"data.batch_size": 2, "data.num_workers": 1, "train.accumulate_steps": 2, "train.epochs": 6},
    **{"augment.auto_augment": "randaugment", "augment.random_erasing": 0.5, "ema.decay": 0.9},
    **{"train.log_steps": 1, "checkpoint.every_steps": 2, "runtime.peak_tflops": 0.1, "optimizer.clip_norm": 1.0},
    **{"optimizer.lr": 0.01},
}


def workers_of(job):
    """The workers of a job by their numbers."""
    found = {}
    for process in psutil.Process(job.pid).children(recursive=True):
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if environment.get("MS_ROLE") == "MS_WORKER":
            found[int(environment["RANK_ID"])] = process
    return found


def wait_for(condition, job, timeout=120):
    end = time.monotonic() + timeout
    while not condition():
        assert job.poll() is None, "".join(job.communicate())
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def lines_of(folder):
    path = folder / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def figures(folder):
    """The lines of metrics.jsonl without what is measured by the clock."""
    clock = {"images_per_second", "mfu", "train_seconds", "eval_seconds"}
    return [{name: value for name, value in json.loads(line).items() if name not in clock} for line in lines_of(folder)]


@pytest.fixture(scope="module")
def random_images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"), train=26, val=11)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, images):
    """The folders of a run that went through, and of one that was killed, went on, was stopped and went on again."""
    root = tmp_path_factory.mktemp("runs")
    recipe = root / "recipe.yaml"
    recipe.write_text(f"data: {{path: {images}}}\n")
    told = {}

    def train(name):
        settings = options({**SETTINGS, "output_dir": root / name, "resume": "auto"})
        return start("run_distribute_train.sh", recipe, *settings, NPROC="2")

    whole = train("whole")
    code, out, err = finish(whole)
    assert code == 0, out + err
    told["whole"] = out, err

    job = train("broken")
    wait_for(lambda: len(lines_of(root / "broken")) >= 4, job)
    killed_at = time.monotonic()
    workers_of(job)[1].send_signal(signal.SIGKILL)
    told["killed"] = *finish(job, 60), time.monotonic() - killed_at

    job = train("broken")
    wait_for(lambda: len(lines_of(root / "broken")) >= 7, job)
    # One worker alone is told; it tells the other.
    workers_of(job)[1].send_signal(signal.SIGTERM)
    told["stopped"] = finish(job, 60)

    code, out, err = finish(train("broken"))
    assert code == 0, out + err
    return root / "whole", root / "broken", told


def test_a_killed_worker_ends_the_job_soon_with_the_reason(runs):
    code, _, err, seconds = runs[2]["killed"]
    assert code == 1
    assert "error: worker 1 was killed by SIGKILL" in err
    assert "worker_1.log" in err
    assert seconds < 30


def test_a_worker_that_is_told_to_stop_stops_all_after_the_same_step(runs):
    code, out, err = runs[2]["stopped"]
    assert code == 130
    assert "the job was stopped" in err
    assert "stopped; kept" in out
    assert "bash scripts/run_distribute_train.sh" in out, "it says how to go on"
    assert "Traceback" not in out + err


def test_what_was_killed_and_stopped_ends_exactly_as_what_was_not(runs):
    whole, broken, _ = runs
    assert len(figures(whole)) == 6 * 3 + 6, "a line for each step and each epoch"
    assert figures(whole) == figures(broken)
    names = {"last.ckpt", "last_ema.ckpt", "best.ckpt", max((whole / "states").iterdir()).relative_to(whole)}
    for name in names:
        tensors, others = (read_tensors(folder / name)[0] for folder in (whole, broken))
        assert tensors.keys() == others.keys()
        for key, value in tensors.items():
            np.testing.assert_array_equal(value.asnumpy(), others[key].asnumpy(), err_msg=f"{name}: {key}")


def test_worker_0_is_on_the_screen_and_alone_writes(runs):
    whole, _, told = runs
    out, _ = told["whole"]
    assert "2 workers, meeting at 127.0.0.1:" in out
    assert "2 worker(s)" in out
    assert out.count("best epoch") == 1
    assert "[INFO]" not in out
    (logs,) = (whole / "logs").iterdir()
    assert {path.name for path in logs.iterdir()} == {"msrun.log", "scheduler.log", "worker_0.log", "worker_1.log"}
    assert str(logs) in out
    assert "best epoch" not in (logs / "worker_1.log").read_text()
    lines = [json.loads(line) for line in lines_of(whole)]
    assert [line["num_images"] for line in lines if line["event"] == "epoch"] == [11] * 6, "each image once"
    assert json.loads((whole / "summary.json").read_text())["num_images"] == 11


def test_a_state_of_two_workers_is_gone_on_from_by_one(runs, run_program, tmp_path):
    whole, _, _ = runs
    folder = tmp_path / "alone"
    state = min((whole / "states").iterdir())
    again = ["--config", whole / "config.yaml", "--output_dir", folder, "--resume", state]
    code, _, err = run_program("train.py", *again)
    assert code == 2
    assert "workers: 2 -> 1" in err
    code, out, err = run_program("train.py", *again, "--allow_config_changes", "true", "--data.batch_size", 4)
    assert code == 0, out + err
    lines = [json.loads(line) for line in lines_of(folder)]
    before = json.loads(read_tensors(state)[1]["mindvit.state"])["step"]
    assert [line["step"] for line in lines if line["event"] == "step"] == list(range(before + 1, 19))
    # The same images a step, and so the same course but for rounding.
    last = [
        [line["train_loss"] for line in figures(place) if line["event"] == "epoch"][-1] for place in (whole, folder)
    ]
    assert last[0] == pytest.approx(last[1], abs=1e-3)


def test_a_mistake_that_all_workers_find_is_told_once(tmp_path):
    root = write_images(tmp_path / "images", train=2, val=2)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"data: {{path: {root}, batch_size: 1}}\nmodel: {{name: vit_mini_4_32}}\n")
    code, out, err = finish(start("run_distribute_train.sh", recipe, "--output_dir", tmp_path / "run", NPROC="3"))
    assert code == 2
    assert (out + err).count("error: ") == 1
    assert "error: a step takes 1 images for each of 3 workers" in out
    assert "has only 2 training images" in out
    assert not list((tmp_path / "run").glob("*.*")), "nothing half-written"


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["configs/digits.yaml", "--optimizer.rl", "1"], {}, "unknown setting 'optimizer.rl'; the nearest is"),
        (["configs/nothing.yaml"], {}, "cannot read the recipe configs/nothing.yaml"),
        ([], {"NNODES": "2", "NODE_RANK": "5"}, "NODE_RANK is 5, but with NNODES=2 it must be from 0 to 1"),
    ],
)
def test_a_slip_of_the_pen_is_answered_before_any_worker_starts(tmp_path, arguments, environment, sentence):
    job = start("run_distribute_train.sh", *arguments, "--output_dir", tmp_path / "run", **environment)
    code, _, err = finish(job)
    assert code == 2
    assert err.startswith("error: ")
    assert sentence in err
    assert not (tmp_path / "run").exists()


def test_the_evaluation_script_says_what_it_needs():
    code, _, err = finish(start("run_distribute_eval.sh"))
    assert code == 2
    assert err.startswith("error: name a checkpoint: bash scripts/run_distribute_eval.sh CKPT")
