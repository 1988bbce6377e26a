"""The command export: the file computes what the network computes, and says how to use it."""

import json
import re
import sys

import mindspore as ms
import numpy as np
import onnx
import pytest
from mindspore import nn

from mindvit.cli import run_command
from mindvit.export import export_comparison
from mindvit.export.export_comparison import network_inputs
from mindvit.export.onnx_file import onnx_runner
from mindvit.factory import load_trained
from mindvit.weights.checkpoint import write_checkpoint
from tests.export.conftest import CLASSES


@pytest.fixture
def run_export(capfd):
    """Runs the command. Returns exit code, standard output and standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as exited:
            run_command("export", list(map(str, arguments)), "mindvit export")
        return exited.value.code, *capfd.readouterr()

    return run


def logits_of(checkpoint, pixels):
    """What the network answers to RGB pixels, uint8 (n, height, width, 3)."""
    trained = load_trained(str(checkpoint))
    inputs = network_inputs(pixels, trained.metadata.model)
    return inputs, trained.network.set_train(False)(ms.Tensor(inputs)).asnumpy()


def softmax(logits):
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


@pytest.mark.slow
def test_an_onnx_file_answers_as_the_network_and_says_how_to_use_it(onnx_file, checkpoint, rng):
    assert [path.name for path in onnx_file.parent.iterdir()] == ["x.onnx"], "nothing is left beside it"
    model = onnx.load(onnx_file)
    assert (model.opset_import[0].version, model.ir_version) == (17, 8)
    (text,) = (entry.value for entry in model.metadata_props if entry.key == "mindvit")
    about = json.loads(text)
    assert tuple(about["classes"]["names"]) == CLASSES
    assert (about["input"]["layout"], about["input"]["dtype"]) == ("NCHW", "float32")
    assert (about["preprocessing"]["crop_pct"], about["preprocessing"]["interpolation"]) == (0.8, "bicubic")

    inputs, logits = logits_of(checkpoint, rng.integers(0, 256, (5, 8, 8, 3), np.uint8))
    np.testing.assert_allclose(onnx_runner(onnx_file)(inputs), logits, atol=1e-5)


@pytest.mark.slow
def test_a_mindir_file_for_pixels_has_its_description_beside_it(run_export, checkpoint, tmp_path, rng, monkeypatch):
    monkeypatch.setattr("mindspore.train.serialization.TOTAL_SAVE", 1)  # KiB; MindSpore divides files above it.
    output = tmp_path / "with space/tiny.mindir"
    (tmp_path / "with space/tiny_variables").mkdir(parents=True)
    options = ["--format", "MINDIR", "--batch_size", 2, "--pixel_input", "true", "--probabilities", "true"]
    code, out, err = run_export("--ckpt", checkpoint, "--output", output, *options)
    assert code == 0, err
    assert "images, uint8 (2, 8, 8, 3)" in out and "probabilities, float32 (2, 6)" in out
    assert "8 images at batch 2: greatest difference from the network" in out
    names = sorted(path.name for path in output.parent.iterdir())
    assert names == ["tiny.mindir", "tiny.mindir.json", "tiny_variables"]
    about = json.loads((output.parent / "tiny.mindir.json").read_text())
    assert (about["input"]["layout"], about["input"]["normalized"]) == ("NHWC", False)

    pixels = rng.integers(0, 256, (2, 8, 8, 3), np.uint8)
    (tmp_path / "plain").symlink_to(output.parent)
    found = nn.GraphCell(ms.load(str(tmp_path / "plain/tiny.mindir")))(ms.Tensor(pixels)).asnumpy()
    np.testing.assert_allclose(found, softmax(logits_of(checkpoint, pixels)[1]), atol=1e-5)


@pytest.mark.slow
def test_int8_prints_what_it_costs_and_gains(run_export, checkpoint, photos, onnx_file, tmp_path):
    output = tmp_path / "x.onnx"
    options = ["--int8", "true", "--calibration", photos, "--calibration_images", 12, "--data.path", photos]
    code, out, err = run_export("--ckpt", checkpoint, "--output", output, *options)
    assert code == 0, err
    model = onnx.load(output)
    assert {entry.key for entry in model.metadata_props} == {"mindvit"}
    assert "4 of 6 products with a weight, scales from 12 images" in out
    nodes = model.graph.node
    quantized = {node.output[0] for node in nodes if node.op_type == "QuantizeLinear"}
    made_by = {name: node.op_type for node in nodes for name in node.output}
    int8_inputs = [made_by[node.input[0]] == "DequantizeLinear" for node in nodes if node.op_type == "Gemm"]
    assert len(quantized) == 4, "nothing but the inputs of the four products of the block"
    assert int8_inputs == [False, True, True, True, True, False], "the patch embedding and the head stay float32"
    scales = [np.prod(item.dims) for item in model.graph.initializer if item.name.endswith("qkv.weight_scale")]
    assert scales == [3 * 32], "one scale for each output channel"

    top1 = {name: float(value) for value, name in re.findall(r"([\d.]+) % as (float32|int8)", out)}
    from mindvit.data.folder import open_folder
    from mindvit.data.settings import EvalDataSettings
    from mindvit.export.int8_measurement import read_inputs

    split = open_folder(photos).val.relabel(load_trained(str(checkpoint)).metadata.classes)
    config = load_trained(str(checkpoint)).metadata.model
    inputs, labels = read_inputs(split, 100, config, EvalDataSettings(num_workers=1), pixel_input=False)
    assert len(labels) == 18
    for name, file in (("float32", onnx_file), ("int8", output)):
        expected = 100 * (onnx_runner(file)(inputs).argmax(1) == labels).mean()
        assert top1[name] == pytest.approx(expected, abs=0.01)
    assert re.search(r"[\d.]+ ms as float32, [\d.]+ ms as int8 at batch 1 on this machine: [\d.]+ times the speed", out)


@pytest.mark.slow
def test_a_file_that_differs_from_the_network_is_not_written(run_export, tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(export_comparison, "TOLERANCE", 1e-12)
    (tmp_path / "x.onnx").write_text("earlier")
    options = ["--batch_size", 3, "--opset", 11]
    code, _, err = run_export("--ckpt", tiny_checkpoint(), "--output", tmp_path / "x.onnx", *options)
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
        ("calibration and data apply only with --int8 true", ["--output", "x.onnx", "--data.path", "images"]),
    ],
)
def test_a_mistake_is_one_sentence(run_export, words, options):
    code, _, err = run_export("--ckpt", "x.ckpt", *options)
    assert code == 2
    assert err.startswith("error: ") and words in " ".join(err.split())


def test_missing_packages_are_named_with_the_cure(run_export, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, err = run_export("--ckpt", "x.ckpt", "--output", "x.onnx")
    assert code == 2
    assert "--format ONNX needs onnxruntime: pip install -r requirements/export.txt" in " ".join(err.split())


def test_outputs_that_are_not_finite_are_refused(run_export, tiny_checkpoint, tmp_path):
    trained = load_trained(str(tiny_checkpoint()))
    trained.network.dense.weight.set_data(ms.Tensor(np.full((2, 32), 3e38, np.float32)))
    write_checkpoint(tmp_path / "broken.ckpt", trained.network, trained.metadata)
    code, _, err = run_export("--ckpt", tmp_path / "broken.ckpt", "--output", tmp_path / "x.onnx")
    assert code == 2
    assert "are not finite" in err
    assert not (tmp_path / "x.onnx").exists()
