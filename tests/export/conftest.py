import mindspore as ms
import numpy as np
import pytest
from PIL import Image

from mindvit.classes import Classes
from mindvit.export.export_command import ExportSettings, export
from mindvit.factory import create_model
from mindvit.weights.checkpoint import write_checkpoint
from mindvit.weights.metadata import CheckpointMetadata
from tests.conftest import TINY

CLASSES = ("cat", "猫", "dog", "fish", "owl", "ant")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A tiny network whose classes depend on the colors of an image."""
    rng = np.random.default_rng(0)
    network = create_model("vit_mini_4_32", num_classes=len(CLASSES), crop_pct=0.8, interpolation="bicubic", **TINY)
    for parameter in (network.dense.weight, network.patch_embedding.conv.weight):
        parameter.set_data(ms.Tensor(rng.standard_normal(parameter.shape).astype(np.float32)))
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.ckpt"
    write_checkpoint(path, network, CheckpointMetadata("vit_mini_4_32", network.config, Classes.named(CLASSES)))
    return path


@pytest.fixture(scope="session")
def onnx_file(checkpoint, tmp_path_factory):
    """The network as ONNX, in a folder whose name MindSpore's exporter would refuse."""
    path = tmp_path_factory.mktemp("new folder") / "deep 深/x.onnx"
    export(ExportSettings(ckpt=str(checkpoint), output=str(path)))
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder with a sub-folder of images for each class."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("photos")
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for index in range(3):
            color = rng.integers(0, 256, 3)
            pixels = np.clip(color + rng.integers(-30, 30, (10 + label, 14, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder
