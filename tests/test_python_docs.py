"""The examples of docs/python.md and of the README run as written, in PyNative mode as in a notebook."""

import re
import subprocess
import sys

import pytest

from mindvit.data.digits import open_digits
from mindvit.factory import create_model
from mindvit.weights.checkpoint import write_checkpoint
from mindvit.weights.metadata import CheckpointMetadata
from tests.conftest import ROOT

SHORTER = 'short = {"model.depth": 1, "train.steps": 2, "runtime.mode": "pynative", "runtime.peak_tflops": 0.1, '
"""Replaces the beginning of the settings of the training, which takes half a minute otherwise."""


def examples(name):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def workspace(tmp_path):
    """A folder with what the quickstart leaves behind and the examples read: the digits, and weights with metrics."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    classes = open_digits(tmp_path / "dataset/digits").train.classes
    (tmp_path / "output/quickstart").mkdir(parents=True)
    # The examples load the last weights into a model of six blocks. They compute with the best, so one block suffices.
    for name, depth in (("best", 1), ("last", 6)):
        network = create_model("vit_mini_4_32", image_size=16, num_classes=10, depth=depth)
        metadata = CheckpointMetadata("vit_mini_4_32", network.config, classes, metrics={"top1": 10.0})
        write_checkpoint(tmp_path / f"output/quickstart/{name}.ckpt", network, metadata)
    return tmp_path


def run(folder, *arguments):
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "GLOG_v": "3"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_examples_of_the_python_api_run_as_written(workspace):
    script = workspace / "notebook.py"
    text = "\n".join(examples("docs/python.md"))
    assert text.count("short = {") == 1
    script.write_text(text.replace("short = {", SHORTER))
    lines = run(workspace, str(script)).splitlines()
    for expected in (
        "['vit_ti_16_224', 'vit_ti_16_384']",
        "192 0.875",
        "(1, 10)",
        "(1, 4, 17, 17) (1, 128) (1, 10)",
    ):
        assert expected in lines
    assert (workspace / "output/python/summary.json").exists()


@pytest.mark.slow
def test_the_readme_example_runs_as_written(tmp_path):
    script = tmp_path / "example.py"
    (example,) = examples("README.md")
    # The smallest model gives the same answer, sooner.
    script.write_text(example.replace("vit_b_", "vit_ti_"))
    assert run(tmp_path, str(script)).splitlines()[-1] == "(1, 10)"


def test_every_public_name_is_documented_and_importable():
    import mindvit

    text = (ROOT / "docs/python.md").read_text()
    for name in mindvit.__all__:
        assert getattr(mindvit, name).__doc__, name
        if name not in ("Classes", "Evaluation"):
            assert f"`{name}`" in text or f"mindvit.{name}" in text, name
    assert set(mindvit.__all__) <= set(dir(mindvit))
    with pytest.raises(AttributeError):
        mindvit.nothing  # noqa: B018
