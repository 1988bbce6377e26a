"""extract_features.py as a user runs it: its output, and one message for each user error."""

import numpy as np
import pytest

PROGRAM = "extract_features.py"


@pytest.fixture
def fails(fails_with, tmp_path):
    def check(words, *arguments, output=None):
        output = output or tmp_path / "out.npz"
        fails_with(words, PROGRAM, "--output", output, *arguments)
        assert not output.exists()
        assert not list(tmp_path.rglob(".being-written*")), "no temporary file is left"

    return check


@pytest.mark.slow
def test_features_of_a_folder_with_subfolders(run_program, make_folder, tiny_checkpoint, tmp_path):
    folder, output = make_folder(), tmp_path / "new/folder/out.npz"
    block = ["--block", -1, "--tokens", "mean", "--batch_size", 5]
    arguments = ["--ckpt", tiny_checkpoint(), "--folder", folder, "--output", output, *block]
    code, out, err = run_program(PROGRAM, *arguments)
    assert code == 0, out + err
    assert "features 12x32 of 12 images" in out
    with np.load(output, allow_pickle=False) as stored:
        assert stored["features"].shape == (12, 32)
        assert stored["files"].tolist()[:4] == [
            "train/cat/0.png",
            "train/cat/1.png",
            "train/cat/2.png",
            "train/dog/0.png",
        ]
    assert list(output.parent.iterdir()) == [output]


def test_a_missing_folder_and_a_folder_without_images(fails, tiny_checkpoint, tmp_path):
    ckpt = ["--ckpt", tiny_checkpoint()]
    fails(["the folder nowhere does not exist"], *ckpt, "--folder", "nowhere")
    (tmp_path / "empty").mkdir()
    fails(["empty has no images", ".png"], *ckpt, "--folder", tmp_path / "empty")


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["there is no block 1", "the network has 1, from 0 to 0"], ["--block", 1]),
        (["there is no block -3"], ["--block", -3]),
        (["tokens applies to the output of a block", "--block"], ["--tokens", "all"]),
        (["no class token", "--tokens mean"], ["--block", 0, "--tokens", "cls"]),
        (["batch_size must be at least 1"], ["--batch_size", 0]),
        (["'blocks'", "'block'"], ["--blocks", 0]),
        (["tokens must be one of"], ["--block", 0, "--tokens", "patches"]),
        (["runtime.device Ascend is not available"], ["--runtime.device", "Ascend"]),
    ],
    ids=lambda item: str(item[0]) if isinstance(item, list) else None,
)
def test_invalid_settings(fails, make_folder, tiny_checkpoint, words, arguments):
    ckpt = tiny_checkpoint(pool="mean")
    fails(words, "--ckpt", ckpt, "--folder", make_folder(), *arguments)


def test_an_output_that_is_not_writable(fails, make_folder, tiny_checkpoint, tmp_path):
    arguments = ["--ckpt", tiny_checkpoint(), "--folder", make_folder()]
    fails(["output must end in .npz"], *arguments, output=tmp_path / "out.npy")
    (tmp_path / "file").touch()
    fails(["cannot write into the folder"], *arguments, output=tmp_path / "file/out.npz")


def test_a_missing_and_a_corrupt_checkpoint(fails, make_folder, tiny_checkpoint, tmp_path):
    folder = ["--folder", make_folder()]
    fails(["no checkpoint nowhere.ckpt"], "--ckpt", "nowhere.ckpt", *folder)
    ckpt = tiny_checkpoint()
    ckpt.write_bytes(ckpt.read_bytes()[:5000])
    fails(["tiny.ckpt is corrupt"], "--ckpt", ckpt, *folder)


def test_a_corrupt_image(fails, make_folder, tiny_checkpoint):
    folder = make_folder()
    image = folder / "val/dog/1.png"
    image.write_bytes(image.read_bytes()[:60])
    fails(["val/dog/1.png is corrupt"], "--ckpt", tiny_checkpoint(), "--folder", folder)
