"""The shell scripts, run as a person runs them, in a clone of their own."""

import json
import os
import shutil
import socket
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


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


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
    code, out, err = run(clone, "run_distribute_train.sh", "configs/digits.yaml", *arguments, MASTER_PORT=free_port())
    assert code == 0, out + err
    assert "2 worker(s)" in out
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (record,) = [line for line in lines if line["event"] == "epoch"]
    assert record["step"] == 719 // 32, "each worker has half of the 1,437 pictures"
    assert record["num_images"] == 360, "both workers together, each picture once"
    assert {path.name for path in folder.iterdir()} >= {"best.ckpt", "last.ckpt", "summary.json", "config.yaml"}
    assert list(tmp_path.iterdir()) == [folder], "only one worker writes"


def test_distributed_script_trains_with_a_single_worker(clone, tmp_path):
    folder = tmp_path / "run"
    arguments = [*TINY_DIGITS, "--output_dir", folder]
    environment = {"MASTER_PORT": free_port(), "NPROC": "1"}
    code, out, err = run(clone, "run_distribute_train.sh", "configs/digits.yaml", *arguments, **environment)
    assert code == 0, out + err
    assert out.count("best epoch 1") == 1, "the scheduler's process does not train"
    assert json.loads((folder / "summary.json").read_text())["num_images"] == 360


def test_distributed_script_fails_when_a_worker_fails(clone, tmp_path):
    arguments = ["--data.batch_size", 1000, "--output_dir", tmp_path / "run"]
    code, _, err = run(clone, "run_distribute_train.sh", "configs/digits.yaml", *arguments, MASTER_PORT=free_port())
    assert code != 0
    assert "error: a step takes 1000 pictures for each of 2 workers" in err
    assert "has only 1437 training pictures" in err


def test_distributed_script_says_so_when_it_fails_without_a_worker_saying_why(clone):
    code, _, err = run(clone, "run_distribute_train.sh", NPROC="0")
    assert code != 0
    assert "error: the job failed; the end of output/msrun/msrun.log:" in err
    assert "worker_num must be greater than 0" in err


KEEPING_WEIGHTS = """
import sys
import numpy as np
sys.path.insert(0, "{clone}")
from mindvit.config import parse
from mindvit.training import trainer
from mindvit.training.recipe import Recipe

made, ranks = [], []
make_model, make_pipeline = trainer.create_model, trainer.train_pipeline
trainer.create_model = lambda *a, **k: made.append(make_model(*a, **k)) or made[-1]
trainer.train_pipeline = lambda *a, **k: ranks.append((a[3].rank, a[3].num_shards)) or make_pipeline(*a, **k)
trainer.train(parse(Recipe, "")[0])
rank, workers = ranks[0]
weights = {{parameter.name: parameter.asnumpy() for parameter in made[0].get_parameters()}}
np.savez("{folder}/worker{{}}of{{}}.npz".format(rank, workers), **weights)
"""


def test_two_workers_end_with_identical_weights_and_train_as_one_with_twice_the_batch(clone, tmp_path):
    script = tmp_path / "keeping_weights.py"
    script.write_text(KEEPING_WEIGHTS.format(clone=clone, folder=tmp_path))
    # The two workers' batches of 32 together are the single worker's batch of 64, with all augmentation and drop path:
    # both depend on the visit alone. The large epsilon makes Adam's step proportional to the gradient, so that a sum in
    # place of a mean would show, and so would gradients that are clipped before the reduction.
    common = [*TINY_DIGITS, *numbers(("optimizer.lr", 1), ("optimizer.eps", 1), ("model.drop_path", 0.2))]
    common += numbers(("optimizer.clip_norm", 0.5), ("augment.mixup", 0))
    msrun = ["-m", "mindspore.parallel.cluster.run", "--worker_num=2", "--local_worker_num=2", "--join=True"]
    msrun += [f"--master_port={free_port()}", f"--log_dir={tmp_path / 'logs'}"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for launcher, batch in ((msrun, 32), ([], 64)):
        command = [sys.executable, *launcher, script, "--config", "configs/digits.yaml", *common]
        command += numbers(("data.batch_size", batch), ("output_dir", tmp_path / f"batch{batch}"))
        done = subprocess.run(
            list(map(str, command)), cwd=clone, env=environment, capture_output=True, text=True, timeout=250
        )
        assert done.returncode == 0, done.stdout + done.stderr

    first, second, alone = (dict(np.load(tmp_path / f"worker{name}.npz")) for name in ("0of2", "1of2", "0of1"))
    assert len(first) == 6 + 24 + 2
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)
        np.testing.assert_allclose(values, alone[name], atol=1e-5, err_msg=name)
    assert np.abs(first["dense.bias"]).max() > 1e-3, "the weights have moved"
