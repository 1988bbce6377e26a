import numpy as np
import pytest

from mindvit.weights.checkpoint import read_checkpoint
from tests.weights.published import SIZES, PublishedFile, write_npz


@pytest.fixture
def timm_weights(tmp_path):
    """The options that read a timm file of a small model."""
    path = write_npz(tmp_path / "timm.npz", PublishedFile("timm").weights("vit"))
    sizes = [part for name, value in SIZES.items() for part in (f"--network.{name}", str(value))]
    return ["--source", str(path), "--model", "vit_b_16_224", *sizes]


def test_a_file_is_converted_and_back(run_program, timm_weights, tmp_path):
    code, out, err = run_program("convert.py", *timm_weights, "--output", tmp_path / "new/mine.ckpt")
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()] == [
        "source",
        "model",
        "use",
        "numerics",
        "preprocessing",
        "classes",
        "output",
    ]
    assert "numerics      exact GELU, epsilon 1e-06" in out
    assert read_checkpoint(tmp_path / "new/mine.ckpt").metadata.origin == "timm"
    arguments = ["--source", tmp_path / "new/mine.ckpt", "--to", "timm", "--output", tmp_path / "back.safetensors"]
    code, out, err = run_program("convert.py", *arguments)
    assert code == 0, err
    assert 'timm.create_model("vit_base_patch16_224", img_size=32' in out
    assert (tmp_path / "back.safetensors").is_file()
    code, out, err = run_program(
        "convert.py",
        *("--source", tmp_path / "back.safetensors", "--model", "vit_b_16_224", "--to", "huggingface"),
        *timm_weights[4:],
        *("--output", tmp_path / "hf/model.safetensors", "--num_classes", 3),
    )
    assert code == 0, err
    assert "note: the checkpoint's head has 7 classes and the model's has 3; dense is newly initialized" in out
    assert {path.name for path in (tmp_path / "hf").iterdir()} == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }


@pytest.mark.parametrize(
    ("words", "output", "more"),
    [
        (["x.safetensors must end in .ckpt with --to mindvit"], "x.safetensors", []),
        (["x.ckpt must end in .safetensors with --to timm"], "x.ckpt", ["--to", "timm"]),
        (["x.safetensors must be named model.safetensors"], "x.safetensors", ["--to", "huggingface"]),
        (["unknown model 'vit_b_16'", "vit_b_16_224"], "x.ckpt", ["--model", "vit_b_16"]),
        (["is for another network", "depth (the file's: 2, the model's: 3)"], "x.ckpt", ["--network.depth", 3]),
        (
            ["cannot be exported to timm", "does not support its pos_embed"],
            "x.safetensors",
            ["--to", "timm", "--network.pos_embed", "relative", "--strict", "false"],
        ),
        (["image_size 33 is not divisible by patch_size 8"], "x.ckpt", ["--network.image_size", 33]),
        (["cannot write"], "file/x.ckpt", []),
    ],
)
def test_user_errors_have_one_message_and_write_nothing(fails_with, timm_weights, tmp_path, words, output, more):
    (tmp_path / "file").touch()
    before = set(tmp_path.iterdir())
    fails_with(words, "convert.py", *timm_weights, *more, "--output", tmp_path / output)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no checkpoint"),
        (b"hello", "has an unknown format"),
        (b"", "is empty"),
        ({"a": [1.0]}, "no known layout"),
    ],
)
def test_sources_without_weights(fails_with, tmp_path, content, words):
    path = tmp_path / "x.npz"
    if isinstance(content, dict):
        write_npz(path, {name: np.array(values, np.float32) for name, values in content.items()})
    elif content is not None:
        path.write_bytes(content)
    arguments = ["--source", path, "--model", "vit_b_16_224", "--output", tmp_path / "y.ckpt"]
    fails_with([words], "convert.py", *arguments)
    assert not (tmp_path / "y.ckpt").exists()


def test_a_source_that_does_not_name_its_model(fails_with, timm_weights, tmp_path):
    fails_with(["name it with --model"], "convert.py", *timm_weights[:2], "--output", tmp_path / "x.ckpt")
