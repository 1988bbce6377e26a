"""The command export: the file computes what the network computes, and says how to use it."""

import json
import sys

import mindspore as ms
import numpy as np
import onnx
import pytest
from mindspore import nn

from mindvit.cli import run_command
from mindvit.export import export_comparison
from mindvit.export.onnx_file import onnx_runner
from mindvit.factory import load_trained


@pytest.fixture
def export(capfd):
    """Runs the command. Returns exit code, standard output and standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as exited:
            run_command("export", list(map(str, arguments)), "mindvit export")
        return exited.value.code, *capfd.readouterr()

    return run


def test_a_file_for_pixels_answers_as_mindvit_and_says_how_to_use_it(export, tiny_checkpoint, tmp_path, rng):
    checkpoint, output = tiny_checkpoint(classes=("cat", "猫", "dog")), tmp_path / "new folder/猫.onnx"
    options = ["--pixel_input", "true", "--probabilities", "true"]
    code, out, err = export("--ckpt", checkpoint, "--output", output, *options)
    assert code == 0, err
    assert "images, uint8 (batch, 8, 8, 3)" in out
    assert "8 images at batch 1, 3, 8: greatest difference" in out
    assert [path.name for path in output.parent.iterdir()] == ["猫.onnx"]

    model = onnx.load(output)
    assert (model.opset_import[0].version, model.ir_version) == (17, 8)
    (text,) = (entry.value for entry in model.metadata_props if entry.key == "mindvit")
    about = json.loads(text)
    assert about["classes"]["names"] == ["cat", "猫", "dog"]
    assert about["input"]["layout"] == "NHWC" and about["input"]["normalized"] is False
    assert about["preprocessing"]["resize"] == "timm"

    images = rng.integers(0, 256, (5, 8, 8, 3), np.uint8)
    inputs = export_comparison.network_inputs(images, load_trained(str(checkpoint)).metadata.model)
    logits = load_trained(str(checkpoint)).network.set_train(False)(ms.Tensor(inputs)).asnumpy()
    odds = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(onnx_runner(output)(images), odds / odds.sum(1, keepdims=True), atol=1e-5)


def test_a_mindir_file_has_its_description_beside_it(export, tiny_checkpoint, tmp_path, rng, monkeypatch):
    monkeypatch.setattr("mindspore.train.serialization.TOTAL_SAVE", 1)  # KiB; MindSpore divides files above it.
    checkpoint, output = tiny_checkpoint(), tmp_path / "with space/tiny.mindir"
    (tmp_path / "with space/tiny_variables").mkdir(parents=True)
    code, _, err = export("--ckpt", checkpoint, "--format", "MINDIR", "--batch_size", 2, "--output", output)
    assert code == 0, err
    names = sorted(path.name for path in output.parent.iterdir())
    assert names == ["tiny.mindir", "tiny.mindir.json", "tiny_variables"]
    assert json.loads((output.parent / "tiny.mindir.json").read_text())["classes"]["names"] == ["cat", "dog"]

    inputs = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    (tmp_path / "plain").symlink_to(output.parent)
    found = nn.GraphCell(ms.load(str(tmp_path / "plain/tiny.mindir")))(ms.Tensor(inputs)).asnumpy()
    expected = load_trained(str(checkpoint)).network.set_train(False)(ms.Tensor(inputs)).asnumpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_file_that_differs_from_the_network_is_not_written(export, tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(export_comparison, "TOLERANCE", 1e-12)
    (tmp_path / "x.onnx").write_text("earlier")
    code, _, err = export(
        "--ckpt", tiny_checkpoint(), "--output", tmp_path / "x.onnx", "--batch_size", 3, "--opset", 11
    )
    assert code == 2
    assert "differs from the network by" in err
    assert (tmp_path / "x.onnx").read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.ckpt", "x.onnx"]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("needs an Ascend NPU, and this machine has none", ["--format", "AIR", "--output", "x.air"]),
        ("output must end in .mindir with --format MINDIR", ["--format", "MINDIR", "--output", "x.onnx"]),
        ("only under a name of the characters", ["--format", "MINDIR", "--output", "猫.mindir"]),
        ("batch_size must be at least 1, or dynamic, not 0", ["--output", "x.onnx", "--batch_size", "0"]),
        ("batch_size must be", ["--output", "x.onnx", "--batch_size", "many"]),
        ("opset must be from 11 to 17, not 18", ["--output", "x.onnx", "--opset", "18"]),
        ("int8 needs --calibration", ["--output", "x.onnx", "--int8", "true"]),
    ],
)
def test_a_mistake_is_one_sentence(export, words, options):
    code, _, err = export("--ckpt", "x.ckpt", *options)
    assert code == 2
    assert err.startswith("error: ") and words in err and len(err.splitlines()) == 1


def test_missing_packages_are_named_with_the_cure(export, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, err = export("--ckpt", "x.ckpt", "--output", "x.onnx")
    assert code == 2
    assert "--format ONNX needs onnxruntime: pip install -r requirements/export.txt" in err


def test_outputs_that_are_not_finite_are_refused(export, tiny_checkpoint, tmp_path):
    from mindvit.weights.checkpoint import write_checkpoint

    trained = load_trained(str(tiny_checkpoint()))
    trained.network.dense.weight.set_data(ms.Tensor(np.full((2, 32), 3e38, np.float32)))
    write_checkpoint(tmp_path / "broken.ckpt", trained.network, trained.metadata)
    code, _, err = export("--ckpt", tmp_path / "broken.ckpt", "--output", tmp_path / "x.onnx")
    assert code == 2
    assert "are not finite" in err
    assert not (tmp_path / "x.onnx").exists()
