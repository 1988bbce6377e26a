"""The shell scripts, run as a user runs them, in a clone of the project."""

import json
import shutil

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.programs.jobs import finish, options, start

pytestmark = pytest.mark.slow

NEEDED = ("mindvit", "configs", "scripts", "train.py", "eval.py", "infer.py", "requirements.txt")
TINY_DIGITS = options(
    {
        **{"model.embed_dim": 32, "model.depth": 1, "model.num_heads": 2, "model.mlp_dim": 64},
        **{"train.epochs": 1, "schedule.warmup_epochs": 0, "data.num_workers": 1},
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


def test_a_second_quickstart_does_not_train_again(quickstart, clone):
    folder, _ = quickstart
    before = (folder / "best.ckpt").stat().st_mtime_ns
    code, out, err = run(clone, "quickstart.sh")
    assert code == 0, out + err
    assert "already trained" in out
    assert "installing" not in out
    assert (folder / "best.ckpt").stat().st_mtime_ns == before


def test_eval_and_infer_scripts_pass_their_options_on(quickstart, clone):
    folder, _ = quickstart
    code, out, err = run(clone, "run_eval.sh", folder / "best.ckpt", "--data.batch_size", "50")
    assert code == 0, err
    assert "images   360" in out
    image = sorted((clone / "dataset/digits/val/7").iterdir())[0]
    code, out, err = run(clone, "run_infer.sh", folder / "best.ckpt", image, "--json", "--top_k", 2)
    assert code == 0, err
    assert len(json.loads(out)["predictions"]) == 2


def test_eval_and_infer_scripts_ask_for_missing_arguments(clone):
    for script in ("run_eval.sh", "run_infer.sh"):
        code, _, err = run(clone, script)
        assert code == 2
        assert err.startswith("error: no checkpoint")


def test_standalone_script_trains(clone, tmp_path):
    arguments = [*TINY_DIGITS, "--output_dir", tmp_path / "run"]
    code, out, err = run(clone, "run_standalone_train.sh", "configs/digits.yaml", *arguments)
    assert code == 0, out + err
    assert (tmp_path / "run/best.ckpt").exists()
