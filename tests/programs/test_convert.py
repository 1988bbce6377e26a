import numpy as np
import pytest

from mindvit.weights.checkpoint import read_checkpoint
from tests.weights.published import SIZES, PublishedFile, write_npz


@pytest.fixture
def of_timm(tmp_path):
    path = write_npz(tmp_path / "timm.npz", PublishedFile("timm").weights("vit"))
    sizes = [part for name, value in SIZES.items() for part in (f"--network.{name}", str(value))]
    return ["--source", str(path), "--model", "vit_b_16_224", *sizes]


def test_a_file_is_converted_there_and_back(run_program, of_timm, tmp_path):
    code, out, err = run_program("convert.py", *of_timm, "--output", tmp_path / "new/mine.ckpt")
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()] == [
        "source",
        "model",
        "use",
        "arithmetic",
        "images",
        "classes",
        "output",
    ]
    assert "arithmetic  exact GELU, epsilon 1e-06" in out
    assert read_checkpoint(tmp_path / "new/mine.ckpt").metadata.origin == "timm"
    arguments = ["--source", tmp_path / "new/mine.ckpt", "--to", "timm", "--output", tmp_path / "back.safetensors"]
    code, out, err = run_program("convert.py", *arguments)
    assert code == 0, err
    assert 'timm.create_model("vit_base_patch16_224", img_size=32' in out
    assert (tmp_path / "back.safetensors").is_file()
    code, out, err = run_program(
        "convert.py",
        *("--source", tmp_path / "back.safetensors", "--model", "vit_b_16_224", "--to", "huggingface"),
        *of_timm[4:],
        *("--output", tmp_path / "hf/model.safetensors", "--num_classes", 3),
    )
    assert code == 0, err
    assert "note: the file's head tells 7 classes apart and the model's 3; dense is fresh" in out
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
        (["called model.safetensors, not x.safetensors"], "x.safetensors", ["--to", "huggingface"]),
        (["no model named 'vit_b_16'", "vit_b_16_224"], "x.ckpt", ["--model", "vit_b_16"]),
        (["is for another network", "depth (the file's: 2, the model's: 3)"], "x.ckpt", ["--network.depth", 3]),
        (
            ["timm has no ViT with this model's positions"],
            "x.safetensors",
            ["--to", "timm", "--network.pos_embed", "relative", "--strict", "false"],
        ),
        (["image_size 33 is not divisible by patch_size 8"], "x.ckpt", ["--network.image_size", 33]),
        (["cannot write"], "file/x.ckpt", []),
    ],
)
def test_mistakes_end_with_one_sentence_and_write_nothing(fails_with, of_timm, tmp_path, words, output, more):
    (tmp_path / "file").touch()
    before = set(tmp_path.iterdir())
    fails_with(words, "convert.py", *of_timm, *more, "--output", tmp_path / output)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no checkpoint"),
        (b"hello", "in no format that is known"),
        (b"", "is empty"),
        ({"a": [1.0]}, "layout of no"),
    ],
)
def test_sources_that_are_none(fails_with, tmp_path, content, words):
    path = tmp_path / "x.npz"
    if isinstance(content, dict):
        write_npz(path, {name: np.array(values, np.float32) for name, values in content.items()})
    elif content is not None:
        path.write_bytes(content)
    arguments = ["--source", path, "--model", "vit_b_16_224", "--output", tmp_path / "y.ckpt"]
    fails_with([words], "convert.py", *arguments)
    assert not (tmp_path / "y.ckpt").exists()


def test_a_source_that_does_not_say_which_model_it_holds(fails_with, of_timm, tmp_path):
    fails_with(["name it with --model"], "convert.py", *of_timm[:2], "--output", tmp_path / "x.ckpt")
