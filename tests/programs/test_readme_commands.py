"""Every command of the README runs as written, in its order, on data and networks that are small.

README_CN.md has the same commands (tests/test_documentation.py).
"""

import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindvit.classes import Classes
from mindvit.cli import main
from mindvit.demo.demo_command import DemoSettings
from mindvit.dry_run_command import DryRunSettings
from mindvit.evaluation.evaluator import EvalSettings
from mindvit.factory import create_model
from mindvit.parsing import parse
from mindvit.training.recipe import Recipe
from mindvit.weights.checkpoint import write_checkpoint
from mindvit.weights.metadata import CheckpointMetadata
from tests.conftest import ROOT
from tests.weights.published import SIZES, PublishedFile, write_npz

pytestmark = pytest.mark.slow

TINY = {"image_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2, "mlp_dim": 64}
MODEL = " ".join(f"--model.{name} {value}" for name, value in TINY.items())
SHORT = f"{MODEL} --train.epochs 2 --schedule.warmup_epochs 0 --data.num_workers 1 --data.batch_size 8"
SHORT += " --runtime.peak_tflops 0.1"
EAGER = "--runtime.mode pynative"
NETWORK = " ".join(f"--network.{name} {value}" for name, value in SIZES.items())


@dataclass(frozen=True)
class Check:
    """How a command is checked."""

    command: str
    """Pattern of the whole command."""
    more: str = ""
    """Options that make it small."""
    makes: tuple[str, ...] = ()
    """Files that it must write."""
    prints: str = ""
    """What it must print."""
    elsewhere: str = ""
    """The file that runs or prints it, because it makes or needs an environment."""
    settings: type | None = None
    """The settings that its options must be, because it needs hardware that is not here."""


CHECKS = [
    Check(r"bash scripts/quickstart\.sh", elsewhere="tests/programs/test_scripts.py"),
    Check(r"bash scripts/test\.sh --quick", elsewhere="CONTRIBUTING.md"),
    Check(r"source \.venv/bin/activate", elsewhere="scripts/quickstart.sh"),
    Check(
        r"python train\.py --config configs/own_images_small\.yaml .*--output_dir output/own",
        more=SHORT,
        makes=("output/own/best.ckpt", "output/own/summary.json", "output/own/curves.png", "output/own/config.yaml"),
        prints="Top-1",
    ),
    Check(r"python train\.py --config configs/own_images_small\.yaml --data\.path FOLDER", settings=Recipe),
    Check(
        r"python train\.py --config configs/finetune_own_images\.yaml .*--download true",
        more=f"{SHORT} {EAGER}",
        makes=("output/own_images/best.ckpt",),
        prints="vit_b_16_224.ckpt",
    ),
    Check(r"python train\.py --config output/own/config\.yaml --resume auto", prints="output/own"),
    Check(r"python -m mindvit check-data .*", prints="猫"),
    Check(r"python -m mindvit report output/own", makes=("output/own/report.html",)),
    Check(r"python -m mindvit report output/quickstart", more=EAGER, makes=("output/quickstart/report.html",)),
    Check(r"python -m mindvit visualize attention .*", makes=("output/attention.png",)),
    Check(r"python eval\.py .*--output \S+\.json", makes=("output/quickstart/evaluation.json",)),
    Check(r"python infer\.py .*--output output/three\.jpg", makes=("output/three.jpg",)),
    Check(r"python infer\.py .*--contact_sheet .*", more=EAGER, makes=("output/digits.csv", "output/digits.png")),
    Check(r"python infer\.py .*output/own/best\.ckpt .*", makes=("output/own/predictions.csv",)),
    Check(r"python -m mindvit demo .*", settings=DemoSettings),
    Check(r"python -m mindvit export .*--format ONNX .*", makes=("output/digits.onnx",)),
    Check(r"python infer\.py .*--json", more=EAGER, prints='"predictions"'),
    Check(r"python extract_features\.py .*", makes=("output/features.npz",)),
    Check(r"python convert\.py --source B_16\.npz .*", more=NETWORK, makes=("ckpt/augreg.ckpt",)),
    Check(r"python convert\.py .*--to timm .*", makes=("output/timm.safetensors",)),
    Check(r"python -m mindvit dry-run .*", settings=DryRunSettings),
    Check(r"NPROC=8 bash scripts/run_distribute_train\.sh .*", settings=Recipe),
    Check(r"NPROC=8 bash scripts/run_distribute_eval\.sh .*", settings=EvalSettings),
]


def commands():
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", "").splitlines() if not line.startswith("#")]


def check_of(command):
    found = [check for check in CHECKS if re.fullmatch(check.command, command)]
    assert len(found) >= 1, f"CHECKS does not say how {command!r} is checked"
    return found[0]


def program_and_arguments(command):
    """The program of a command, its arguments, with those that a script adds."""
    words = [word for word in shlex.split(command) if "=" not in word.split("--")[0]]
    if words[0] == "mindvit":
        return "mindvit", words[1:]
    if words[:3] == ["python", "-m", "mindvit"]:
        return "mindvit", words[3:]
    if words[0] == "python":
        return words[1], words[2:]
    option = {"scripts/run_distribute_train.sh": "--config", "scripts/run_distribute_eval.sh": "--ckpt"}[words[1]]
    return words[1], [option, *words[2:]]


@pytest.fixture
def workspace(tmp_path, monkeypatch, run):
    """A folder with what the commands of the README expect: recipes, own images, weights, and a short quickstart."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    rng = np.random.default_rng(0)
    for label, (name, count) in enumerate((("猫", 15), ("dog", 8), ("bird", 5))):
        (tmp_path / "FOLDER" / name).mkdir(parents=True)
        for index in range(count):
            values = rng.integers(0, 120, (40, 48, 3)) + 120 * (np.arange(3) == label)
            Image.fromarray(values.astype(np.uint8)).save(tmp_path / "FOLDER" / name / f"{index}.png")
    (tmp_path / "ckpt").mkdir()
    network = create_model("vit_b_16_224", **TINY, num_classes=1000)
    metadata = CheckpointMetadata("vit_b_16_224", network.config, Classes.named(tuple(map(str, range(1000)))))
    write_checkpoint(tmp_path / "ckpt/vit_b_16_224.ckpt", network, metadata)
    write_npz(tmp_path / "B_16.npz", PublishedFile("google").weights("original"))
    run(f"python train.py --config configs/digits.yaml --output_dir output/quickstart {SHORT} {EAGER} --train.steps 2")


@pytest.fixture
def run(monkeypatch, capfd):
    """Runs a command of this project in this process. Returns what it printed."""

    def run(command):
        program, arguments = program_and_arguments(command)
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exited:
            main() if program == "mindvit" else runpy.run_path(str(ROOT / program), run_name="__main__")
        out, err = capfd.readouterr()
        assert exited.value.code == 0, f"{command}\n{out}{err}"
        return out

    return run


def test_every_command_runs_as_written(workspace, run, tmp_path):
    for command in commands():
        check = check_of(command)
        if check.settings:
            program, arguments = program_and_arguments(command)
            parse(check.settings, "", arguments[program == "mindvit" :])
        elif not check.elsewhere:
            assert check.prints in run(f"{command} {check.more}")
            missing = [name for name in check.makes if not (tmp_path / name).is_file()]
            assert not missing, f"{command} did not write {missing}"


def test_no_check_is_left_over():
    used = [check_of(command) for command in commands()]
    assert [check.command for check in CHECKS if check not in used] == []


def test_commands_that_need_an_environment_are_known_elsewhere():
    for command in commands():
        elsewhere = check_of(command).elsewhere
        name = Path(command.split()[1]).name  # The name of a script; an environment is activated by its path.
        assert not elsewhere or name in (ROOT / elsewhere).read_text(), command
        if elsewhere and name.endswith(".sh"):
            subprocess.run(["bash", "-n", str(ROOT / "scripts" / name)], check=True)
