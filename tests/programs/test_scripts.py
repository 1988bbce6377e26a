"""The shell scripts, run as a person runs them, in a clone of their own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT

NEEDED = ("mindvit", "configs", "scripts", "train.py", "eval.py", "infer.py", "requirements.txt")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The project without anything that a run has written, and with the environment that runs this test."""
    folder = tmp_path_factory.mktemp("clone")
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    if (ROOT / ".venv").is_dir():
        # quickstart.sh installs into .venv; here it finds that done, and must see so by itself.
        (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def run(folder, script, *arguments, **environment):
    command = ["bash", f"scripts/{script}", *map(str, arguments)]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        timeout=250,
    )
    return done.returncode, done.stdout, done.stderr


def numbers(*pairs):
    return [part for name, value in pairs for part in (f"--{name}", str(value))]


TINY_DIGITS = numbers(
    *(("train.epochs", 1), ("model.embed_dim", 32), ("model.depth", 2), ("model.num_heads", 2), ("model.mlp_dim", 64)),
    *(("schedule.warmup_epochs", 0), ("data.num_workers", 1)),
)


@pytest.fixture(scope="module")
def quickstart(clone):
    code, out, err = run(clone, "quickstart.sh", *TINY_DIGITS)
    assert code == 0, out + err
    return clone / "output/quickstart", out


def test_quickstart_writes_everything_it_promises(quickstart):
    folder, out = quickstart
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary) >= {"top1", "top5", "num_images", "train_seconds", "images_per_second"}
    assert summary["num_images"] == 360
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["top1"] == pytest.approx(summary["top1"])
    for name in ("metrics.jsonl", "config.yaml", "curves.png", "prediction.jpg", "best.ckpt"):
        assert (folder / name).stat().st_size > 0
        assert name in out, "the script says where it lies"
    for name in ("curves.png", "prediction.jpg"):
        with Image.open(folder / name) as image:
            image.load()


def test_quickstart_again_is_quick_and_harmless(quickstart, clone):
    folder, _ = quickstart
    before = (folder / "best.ckpt").stat().st_mtime_ns
    code, out, err = run(clone, "quickstart.sh")
    assert code == 0, out + err
    assert "already trained" in out
    assert "installing" not in out
    assert (folder / "best.ckpt").stat().st_mtime_ns == before


def test_eval_and_infer_scripts_pass_their_arguments_on(quickstart, clone):
    folder, _ = quickstart
    code, out, err = run(clone, "run_eval.sh", folder / "best.ckpt", "--data.batch_size", "50")
    assert code == 0, err
    assert "images   360" in out
    picture = sorted((clone / "dataset/digits/val/7").iterdir())[0]
    code, out, err = run(clone, "run_infer.sh", folder / "best.ckpt", picture, "--json", "--top_k", 2)
    assert code == 0, err
    assert len(json.loads(out)["predictions"]) == 2


def test_eval_and_infer_scripts_say_what_they_need(clone):
    for script in ("run_eval.sh", "run_infer.sh"):
        code, _, err = run(clone, script)
        assert code == 2
        assert err.startswith("error: name a checkpoint")


def test_standalone_script_trains(clone, tmp_path):
    arguments = [*TINY_DIGITS, "--output_dir", tmp_path / "run"]
    code, out, err = run(clone, "run_standalone_train.sh", "configs/digits.yaml", *arguments)
    assert code == 0, out + err
    assert (tmp_path / "run/best.ckpt").exists()


def test_distributed_script_trains_with_two_workers(clone, tmp_path):
    folder = tmp_path / "run"
    arguments = [*TINY_DIGITS, "--data.batch_size", 32, "--output_dir", folder]
    code, out, err = run(clone, "run_distribute_train.sh", "configs/digits.yaml", *arguments, MASTER_PORT="8231")
    assert code == 0, out + err
    assert "2 worker(s)" in out
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (record,) = [line for line in lines if line["event"] == "epoch"]
    assert record["step"] == 719 // 32, "each worker has half of the 1,437 pictures"
    assert record["num_images"] == 360, "both workers together, each picture once"
    assert {path.name for path in folder.iterdir()} >= {"best.ckpt", "last.ckpt", "summary.json", "config.yaml"}
    assert list(tmp_path.iterdir()) == [folder], "only one worker writes"


def test_distributed_script_fails_when_a_worker_fails(clone, tmp_path):
    arguments = ["--data.batch_size", 1000, "--output_dir", tmp_path / "run"]
    code, _, err = run(clone, "run_distribute_train.sh", "configs/digits.yaml", *arguments, MASTER_PORT="8241")
    assert code != 0
    assert "error: data.batch_size 1000 is larger than the 719 training pictures of a worker" in err


def test_two_workers_end_with_identical_weights(clone, tmp_path):
    """Each worker reads other pictures, so their weights agree only if their gradients are averaged."""
    script = tmp_path / "worker.py"
    script.write_text(
        "import os, sys\n"
        f"sys.path.insert(0, {str(clone)!r})\n"
        "import numpy as np\n"
        "from mindvit.config import parse\n"
        "from mindvit.training import trainer\n"
        "from mindvit.training.recipe import Recipe\n"
        "made = []\n"
        "make = trainer.create_model\n"
        "trainer.create_model = lambda *a, **k: made.append(make(*a, **k)) or made[-1]\n"
        "seen = []\n"
        "pipeline = trainer.train_pipeline\n"
        "trainer.train_pipeline = lambda *a, **k: seen.append(k['rank']) or pipeline(*a, **k)\n"
        "trainer.train(parse(Recipe, '')[0])\n"
        "weights = {p.name: p.asnumpy() for p in made[0].get_parameters()}\n"
        f"np.savez({str(tmp_path)!r} + f'/rank{{seen[0]}}.npz', **weights)\n"
    )
    arguments = [*TINY_DIGITS, "--data.batch_size", 32, "--output_dir", tmp_path / "run"]
    msrun = [sys.executable, "-m", "mindspore.parallel.cluster.run", "--worker_num=2", "--local_worker_num=2"]
    msrun += ["--master_port=8251", f"--log_dir={tmp_path / 'logs'}", "--join=True", str(script)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [*msrun, "--config", "configs/digits.yaml", *map(str, arguments)]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    one, other = (dict(np.load(tmp_path / f"rank{rank}.npz")) for rank in (0, 1))
    assert len(one) == 6 + 24 + 2
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)
