"""The shell scripts, run as a user runs them, in a clone of the project."""

import json
import shutil

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.programs.jobs import finish, options, start

pytestmark = pytest.mark.slow

NEEDED = ("mindvit", "configs", "scripts", "train.py", "eval.py", "infer.py", "requirements.txt")
REUSED = ("summary.json", "best.ckpt")
TINY_DIGITS = options(
    {
        **{"model.embed_dim": 32, "model.depth": 1, "model.num_heads": 2, "model.mlp_dim": 64},
        **{"train.epochs": 1, "train.steps": 4, "schedule.warmup_epochs": 0, "data.num_workers": 1},
        **{"runtime.mode": "pynative", "runtime.peak_tflops": 0.1},
    }
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The project without any files of runs, with the environment that runs this test."""
    folder = tmp_path_factory.mktemp("clone")
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    if (ROOT / ".venv").is_dir():
        # quickstart.sh must detect that the requirements are installed in .venv.
        (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def run(folder, script, *arguments):
    """Runs a script in a folder. Returns exit code, output and errors."""
    return finish(start(script, *arguments, cwd=folder), timeout=250)


@pytest.fixture(scope="module")
def quickstart(clone):
    code, out, err = run(clone, "quickstart.sh", *TINY_DIGITS)
    assert code == 0, out + err
    return clone / "output/quickstart", out


def test_quickstart_writes_all_files_that_it_lists(quickstart):
    folder, out = quickstart
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary) >= {"top1", "top5", "num_images", "train_seconds", "images_per_second"}
    assert summary["num_images"] == 360
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["top1"] == pytest.approx(summary["top1"])
    for name in ("metrics.jsonl", "config.yaml", "curves.png", "prediction.jpg", "best.ckpt"):
        assert (folder / name).stat().st_size > 0
        assert name in out, "the script lists it"
    for name in ("curves.png", "prediction.jpg"):
        with Image.open(folder / name) as image:
            image.load()


@pytest.fixture
def echo(clone, tmp_path):
    """A copy of the clone whose Python prints its arguments, with what the quickstart checks and reads."""
    folder = tmp_path / "echo"
    shutil.copytree(clone / "scripts", folder / "scripts")
    shutil.copy(clone / "requirements.txt", folder)
    (folder / ".venv/bin").mkdir(parents=True)
    python = folder / ".venv/bin/python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$*"\n')
    python.chmod(0o755)
    return folder


def commands_of(folder, script, *arguments):
    """The lines that a script prints in the folder ``echo``: the arguments of Python, and its own."""
    job = start(script, *arguments, cwd=folder, PYTHON=str(folder / ".venv/bin/python"))
    code, out, err = finish(job)
    assert code == 0, out + err
    return out.splitlines()


def test_a_second_quickstart_does_not_train_again(quickstart, clone, echo):
    """It finds what the first one has left: the stamp of the installed requirements, the run and the digits."""
    for name in (".venv/installed-requirements.txt", *(f"output/quickstart/{name}" for name in REUSED)):
        (echo / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clone / name, echo / name)
    (echo / "dataset").symlink_to(clone / "dataset")
    lines = commands_of(echo, "quickstart.sh")
    folder = "output/quickstart"
    assert lines[0].startswith(f"already trained: {folder}/best.ckpt")
    assert lines[1] == f"eval.py --ckpt {folder}/best.ckpt --output {folder}/evaluation.json"
    words = lines[2].split()
    assert words[:4] == ["infer.py", "--ckpt", f"{folder}/best.ckpt", "--image"]
    assert (clone / words[4]).is_file()
    assert words[5:] == ["--output", f"{folder}/prediction.jpg"]
    assert not [line for line in lines if line.startswith(("installing", "train.py", "-m pip"))]


def test_a_quickstart_after_changed_requirements_installs_them(echo):
    (echo / ".venv/installed-requirements.txt").write_text("of another version\n")
    (echo / "dataset/digits/val/3").mkdir(parents=True)
    lines = commands_of(echo, "quickstart.sh", "--train.epochs", 1)
    assert lines[0].startswith("installing requirements.txt")
    assert lines[1] == "-m pip install --quiet --disable-pip-version-check -r requirements.txt"
    trained = "train.py --config configs/digits.yaml --train.epochs 40 --output_dir output/quickstart --overwrite true"
    assert lines[2] == f"{trained} --train.epochs 1", "a later option wins"


@pytest.mark.parametrize(
    ("script", "arguments", "command"),
    [
        ("run_eval.sh", "a.ckpt --data.batch_size 50", "eval.py --ckpt a.ckpt --data.batch_size 50"),
        ("run_infer.sh", "a.ckpt b.png --json --top_k 2", "infer.py --ckpt a.ckpt --image b.png --json --top_k 2"),
        ("run_standalone_train.sh", "", "train.py --config configs/digits.yaml"),
        ("run_standalone_train.sh", "--train.epochs 1", "train.py --config configs/digits.yaml --train.epochs 1"),
        ("run_standalone_train.sh", "a.yaml --train.epochs 1", "train.py --config a.yaml --train.epochs 1"),
    ],
)
def test_scripts_pass_their_arguments_on(echo, script, arguments, command):
    assert commands_of(echo, script, *arguments.split()) == [command]


def test_eval_and_infer_scripts_ask_for_missing_arguments(clone):
    for script in ("run_eval.sh", "run_infer.sh"):
        code, _, err = run(clone, script)
        assert code == 2
        assert err.startswith("error: no checkpoint")
