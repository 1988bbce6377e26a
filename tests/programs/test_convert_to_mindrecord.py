"""The conversion as a user runs it: with several processes, killed, resumed, and as the data of a training run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mindvit.data.mindrecord.reader import open_mindrecord
from tests.conftest import ROOT
from tests.programs.jobs import read_metrics, wait_for

SCRIPT = "scripts/convert_to_mindrecord.py"

# The spawned processes of a conversion import this file too, so they read images with its function.
INTERRUPTED_CONVERSION = f"""
import os, signal, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from mindvit.cli import run_command

if __name__ == "__main__":
    run_command("convert-to-mindrecord")

from mindvit.data.mindrecord import writer
rows = writer._source_rows

def interrupted_rows(images):
    for row in rows(images):
        if images.root.name == "val":
            while not list(Path(os.environ["OUT"]).glob("train/*.mindrecord")):
                time.sleep(0.01)
            Path(os.environ["OUT"] + ".pid").write_text(str(os.getpid()))
            if os.environ["INTERRUPTION"] == "kill":
                time.sleep(0.5)  # Until the manifest lists the finished shard.
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(600)
        yield row

writer._source_rows = interrupted_rows
"""


@pytest.fixture
def interrupted_conversion(tmp_path, make_folder):
    """Starts a conversion with two processes and one shard per split. The process that writes val sleeps or dies."""
    (tmp_path / "interrupted.py").write_text(INTERRUPTED_CONVERSION)
    root, out = make_folder(), tmp_path / "out"

    def start(interruption):
        arguments = ["--path", root, "--output", out, "--shards", "1", "--num_workers", "2"]
        return subprocess.Popen(
            list(map(str, [sys.executable, tmp_path / "interrupted.py", *arguments])),
            env={**os.environ, "INTERRUPTION": interruption, "OUT": str(out)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start, root, out


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def finished_splits(out):
    """The splits whose shards are written."""
    splits = json.loads((out / "manifest.json").read_text())["splits"]
    return [name for name, (shard,) in splits.items() if shard["data"]]


@pytest.mark.slow
def test_a_killed_conversion_is_resumed(interrupted_conversion, run_program):
    start, root, out = interrupted_conversion
    conversion = start("kill")
    _, err = conversion.communicate(timeout=100)
    assert conversion.returncode == 2, err
    assert "error: a process of the conversion died" in err and "Traceback" not in err
    assert finished_splits(out) == ["train"]
    shard = out / "train/train-00000-of-00001.mindrecord"
    written = shard.stat().st_ino

    (out / "val").rename(out / "val.kept")  # So that both shards are written by a process again.
    shard.unlink()
    pid = Path(f"{out}.pid")
    pid.unlink()
    conversion = start("sleep")
    wait_for(lambda: pid.exists() and pid.read_text() and finished_splits(out) == ["train"])
    conversion.kill()
    conversion.communicate(timeout=20)
    wait_for(lambda: not is_running(int(pid.read_text())))
    assert list((out / "val").iterdir()), "the killed process left a temporary file"
    shutil.rmtree(out / "val.kept")

    again = shard.stat().st_ino
    code, stdout, err = run_program(SCRIPT, "--path", root, "--output", out, "--shards", 1)
    assert code == 0, err
    assert shard.stat().st_ino == again != written
    assert sorted(path.name for path in (out / "val").iterdir()) == [
        "val-00000-of-00001.mindrecord",
        "val-00000-of-00001.mindrecord.db",
    ]
    assert "val      6 images of 2 classes in 1 shard" in stdout
    assert len(open_mindrecord(out).val) == 6


def losses(folder):
    steps = [line for line in read_metrics(folder) if line["event"] == "step"]
    return [(line["step"], line["train_loss"], line["grad_norm"]) for line in steps]


@pytest.mark.slow
def test_training_on_shards_equals_training_on_the_folder(run_program, make_folder, tiny, tmp_path):
    root = make_folder(splits=("train",), counts=4)
    code, stdout, err = run_program(SCRIPT, "--source", "folder", "--path", root, "--output", tmp_path / "out")
    assert code == 0, err
    assert f"python train.py --data.source mindrecord --data.path {tmp_path / 'out'}" in stdout
    quick = ["--model.depth", 1, "--train.steps", 2, "--train.log_steps", 1]
    for source, path in (("folder", root), ("mindrecord", tmp_path / "out")):
        where = ["--data.source", source, "--data.path", path, "--output_dir", tmp_path / source]
        code, _, err = run_program("train.py", *tiny, *quick, *where)
        assert code == 0, err
    found = losses(tmp_path / "mindrecord")
    assert [step for step, *_ in found] == [1, 2]
    assert found == losses(tmp_path / "folder")


@pytest.mark.slow
def test_evaluation_on_shards_equals_evaluation_on_the_folder(run_program, make_folder, tiny_checkpoint, tmp_path):
    root = make_folder()
    code, _, err = run_program(SCRIPT, "--path", root, "--output", tmp_path / "out", "--num_workers", 1)
    assert code == 0, err
    results, ckpt = [], tiny_checkpoint(depth=1)
    for source, path in (("folder", root), ("mindrecord", tmp_path / "out")):
        output = tmp_path / f"{source}.json"
        arguments = ["--data.source", source, "--data.path", path, "--output", output]
        code, _, err = run_program("eval.py", "--ckpt", ckpt, *arguments)
        assert code == 0, err
        results.append(json.loads(output.read_text()))
    assert results[1].pop("data") == str(tmp_path / "out/val")
    assert results[0].pop("data") == str(root / "val")
    for result in results:
        for mistake in result["mistakes"]:
            del mistake["file"]
    assert results[1] == results[0]
    assert results[0]["num_images"] == 6


def test_user_errors_have_one_message(fails_with, make_folder, tmp_path):
    arguments = ["--path", make_folder(), "--output", tmp_path / "out"]
    fails_with(["--shards 7 is more than the 6 images"], SCRIPT, *arguments, "--shards", 7)
    fails_with(["out has no manifest.json"], SCRIPT, "--verify", tmp_path / "out")
    fails_with(["'shard'", "'shards'"], SCRIPT, *arguments, "--shard", 7)
