"""The client of docs/deployment.md answers as mindvit does."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mindvit import predict
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def images(tmp_path):
    """An upright image, one that a camera turned, and one with transparent pixels."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (4, 5, 4), np.uint8)
    turned = Image.fromarray(small[..., :3]).resize((60, 33))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    turned.rotate(10, expand=True).save(tmp_path / "upright.png")
    Image.fromarray(small).resize((41, 27)).save(tmp_path / "transparent.png")
    return [tmp_path / name for name in ("turned.jpg", "upright.png", "transparent.png")]


def test_the_client_ranks_the_classes_as_mindvit(onnx_file, checkpoint, images):
    command = [sys.executable, ROOT / "docs/examples/onnx_client.py", onnx_file, *images]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for path, line, expected in zip(images, lines, predict(images, str(checkpoint)), strict=True):
        name, _, ranked = line.partition(": ")
        assert name == str(path)
        found = [(label, float(percent) / 100) for label, percent in re.findall(r"(\S+) ([\d.]+) %", ranked)]
        assert [label for label, _ in found] == [item.name for item in expected]
        for (_, probability), item in zip(found, expected, strict=True):
            assert probability == pytest.approx(item.probability, abs=1e-3)
