"""The conversion as a person runs it: with several processes, killed, gone on with, and trained from."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mindvit.data.mindrecord.reader import open_mindrecord
from tests.conftest import ROOT

SCRIPT = "scripts/convert_to_mindrecord.py"

# The processes of a conversion run this file too, as spawned processes do, and so read images as it says.
TROUBLED = f"""
import os, signal, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from mindvit.cli import run

def main():
    from mindvit.parsing import parse
    from mindvit.data.mindrecord.converter import MindRecordSettings, convert_to_mindrecord
    convert_to_mindrecord(parse(MindRecordSettings, "")[0])

if __name__ == "__main__":
    run(main)

from mindvit.data.mindrecord import writing
rows = writing._source_rows

def troubled(images):
    for row in rows(images):
        if images.root.name == "val":
            while not list(Path(os.environ["OUT"]).glob("train/*.mindrecord")):
                time.sleep(0.01)
            Path(os.environ["OUT"] + ".pid").write_text(str(os.getpid()))
            if os.environ["TROUBLE"] == "death":
                time.sleep(0.5)  # The manifest takes note of the finished shard.
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(600)
        yield row

writing._source_rows = troubled
"""


@pytest.fixture
def troubled(tmp_path, make_folder):
    """Starts a conversion, two processes and a shard a split, of which that of val meets with some trouble."""
    (tmp_path / "troubled.py").write_text(TROUBLED)
    root, out = make_folder(), tmp_path / "out"

    def start(trouble):
        arguments = ["--path", root, "--output", out, "--shards", "1", "--num_workers", "2"]
        return subprocess.Popen(
            list(map(str, [sys.executable, tmp_path / "troubled.py", *arguments])),
            env={**os.environ, "TROUBLE": trouble, "OUT": str(out)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start, root, out


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def done(out):
    """Which splits' shards are done."""
    splits = json.loads((out / "manifest.json").read_text())["splits"]
    return [name for name, (shard,) in splits.items() if shard["data"]]


def test_a_conversion_survives_the_death_of_a_process_and_its_own(troubled, run_program):
    start, root, out = troubled
    conversion = start("death")
    _, err = conversion.communicate(timeout=100)
    assert conversion.returncode == 2, err
    assert "error: a process of the conversion died" in err and "Traceback" not in err
    assert done(out) == ["train"]
    shard = out / "train/train-00000-of-00001.mindrecord"
    written = shard.stat().st_ino

    (out / "val").rename(out / "val.kept")  # So that both shards take a process again.
    shard.unlink()
    pid = Path(f"{out}.pid")
    pid.unlink()
    conversion = start("sleep")
    until(lambda: pid.exists() and pid.read_text() and done(out) == ["train"])
    conversion.kill()
    conversion.communicate(timeout=20)
    until(lambda: not lives(int(pid.read_text())))
    assert list((out / "val").iterdir()), "the killed process left something behind"
    shutil.rmtree(out / "val.kept")

    again = shard.stat().st_ino
    code, text, err = run_program(SCRIPT, "--path", root, "--output", out, "--shards", 1)
    assert code == 0, err
    assert shard.stat().st_ino == again != written
    assert sorted(path.name for path in (out / "val").iterdir()) == [
        "val-00000-of-00001.mindrecord",
        "val-00000-of-00001.mindrecord.db",
    ]
    assert "val      6 images of 2 classes in 1 shard" in text
    assert len(open_mindrecord(out).val) == 6


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["train_loss"], line["grad_norm"]) for line in lines if line["event"] == "step"]


def test_a_run_from_shards_is_the_run_from_the_folder(run_program, make_folder, tiny, tmp_path):
    root = make_folder(splits=("train",), counts=4)
    code, text, err = run_program(SCRIPT, "--source", "folder", "--path", root, "--output", tmp_path / "out")
    assert code == 0, err
    assert f"python train.py --data.source mindrecord --data.path {tmp_path / 'out'}" in text
    quick = ["--model.depth", 1, "--train.steps", 2, "--train.log_steps", 1]
    for source, path in (("folder", root), ("mindrecord", tmp_path / "out")):
        where = ["--data.source", source, "--data.path", path, "--output_dir", tmp_path / source]
        code, _, err = run_program("train.py", *tiny, *quick, *where)
        assert code == 0, err
    found = losses(tmp_path / "mindrecord")
    assert [step for step, *_ in found] == [1, 2]
    assert found == losses(tmp_path / "folder")


def test_evaluation_on_shards_is_that_on_the_folder(run_program, make_folder, tiny_checkpoint, tmp_path):
    root = make_folder()
    code, _, err = run_program(SCRIPT, "--path", root, "--output", tmp_path / "out", "--num_workers", 1)
    assert code == 0, err
    figures, ckpt = [], tiny_checkpoint(depth=1)
    for source, path in (("folder", root), ("mindrecord", tmp_path / "out")):
        output = tmp_path / f"{source}.json"
        arguments = ["--data.source", source, "--data.path", path, "--output", output]
        code, _, err = run_program("eval.py", "--ckpt", ckpt, *arguments)
        assert code == 0, err
        figures.append(json.loads(output.read_text()))
    assert figures[1].pop("data") == str(tmp_path / "out/val")
    assert figures[0].pop("data") == str(root / "val")
    assert figures[1] == figures[0]
    assert figures[0]["num_images"] == 6


def test_mistakes_end_with_a_sentence(fails_with, make_folder, tmp_path):
    arguments = ["--path", make_folder(), "--output", tmp_path / "out"]
    fails_with(["--shards 7 is more than the 6 images"], SCRIPT, *arguments, "--shards", 7)
    fails_with(["out has no manifest.json"], SCRIPT, "--verify", tmp_path / "out")
    fails_with(["'shard'", "'shards'"], SCRIPT, *arguments, "--shard", 7)
