"""A user error ends a program with one clear message and exit code 2, and leaves no incomplete files."""

import shutil

import pytest
from PIL import Image

from mindvit.weights.checkpoint import TRAIN_STATE_KEY
from mindvit.weights.formats.ckpt import read_ckpt, write_ckpt


@pytest.fixture
def train_fails(fails_with, tiny, tmp_path):
    def check(words, *arguments, output=None):
        run = tmp_path / "run"
        fails_with(words, "train.py", *tiny, "--output_dir", output or run, *arguments)
        assert not run.exists() or not any(run.glob("*.*")), "no file is written"

    return check


def test_missing_data(train_fails):
    train_fails(["data folder nowhere does not exist", "--data.path"], "--data.path", "nowhere")


def test_no_data_path(train_fails):
    train_fails(["folder needs --data.path"])


def test_folder_without_classes(train_fails, tmp_path):
    (tmp_path / "empty").mkdir()
    train_fails(["no class folders"], "--data.path", tmp_path / "empty")


def test_folder_with_one_class(train_fails, make_folder):
    train_fails(["only one class folder"], "--data.path", make_folder(classes=("cat",)))


def test_folder_with_an_empty_class(train_fails, make_folder):
    root = make_folder()
    (root / "val/emu").mkdir()
    train_fails(["val/emu holds no images"], "--data.path", root)


def test_different_classes_in_train_and_val(train_fails, make_folder):
    root = make_folder(classes=("cat", "dog", "emu"))
    shutil.rmtree(root / "train/dog")
    train_fails(["train and val have different classes", "dog"], "--data.path", root)


def test_image_size_not_divisible_by_the_patch_size(train_fails, make_folder):
    words = ["image_size 9 is not divisible by patch_size 4", "8"]
    train_fails(words, "--data.path", make_folder(), "--model.image_size", 9)


def test_width_not_divisible_by_the_number_of_heads(train_fails, make_folder):
    words = ["embed_dim 32 is not divisible by num_heads 3"]
    train_fails(words, "--data.path", make_folder(), "--model.num_heads", 3)


def test_unknown_model(train_fails, make_folder):
    train_fails(["unknown model 'vit_b_16'", "vit_b_16_224"], "--data.path", make_folder(), "--model.name", "vit_b_16")


def test_batch_larger_than_the_data(train_fails, make_folder):
    train_fails(
        ["a step takes 100 images", "data.batch_size", "6 training"],
        "--data.path",
        make_folder(),
        "--data.batch_size",
        100,
    )


def test_a_training_checkpoint_instead_of_weights(fails_with, tiny_checkpoint, tmp_path):
    tensors, texts = read_ckpt(tiny_checkpoint())
    write_ckpt(tmp_path / "epoch.ckpt", tensors, {**texts, TRAIN_STATE_KEY: "{}"})
    words = ["epoch.ckpt is a training checkpoint", "best.ckpt or last.ckpt"]
    fails_with(words, "eval.py", "--ckpt", tmp_path / "epoch.ckpt")


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, ["cannot read"]), (b"hello", ["is corrupt"]), ("weights", ["is not a training checkpoint"])],
)
def test_a_file_that_is_not_a_training_checkpoint(train_fails, make_folder, tmp_path, tiny_checkpoint, content, words):
    path = tmp_path / "other.ckpt"
    if content == "weights":
        path = tiny_checkpoint()
    elif content:
        path.write_bytes(content)
    train_fails(words, "--data.path", make_folder(), "--resume", path)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["'*.wait'", "matches no trainable parameter"], ["--optimizer.rules", "[{pattern: '*.wait', lr_scale: 2}]"]),
        (["freeze every parameter"], ["--optimizer.rules", "[{pattern: '*', frozen: true}]"]),
        (["ema.decay must lie"], ["--ema.decay", 1]),
        (["checkpoint.keep_last must be at least 1"], ["--checkpoint.keep_last", 0]),
        (["train.accumulate_steps must be at least 1"], ["--train.accumulate_steps", 0]),
        (["loss.name must be one of cross_entropy, bce"], ["--loss.name", "mse"]),
        (
            ["pos_embed sincos2d needs an embed_dim divisible by 4"],
            ["--model.pos_embed", "sincos2d", "--model.embed_dim", 6],
        ),
    ],
)
def test_invalid_settings(train_fails, make_folder, words, arguments):
    train_fails(words, "--data.path", make_folder(), *arguments)


def test_output_folder_that_is_not_writable(train_fails, make_folder, tmp_path):
    (tmp_path / "file").touch()
    train_fails(["cannot write into the folder"], "--data.path", make_folder(), output=tmp_path / "file/run")


@pytest.mark.parametrize(
    ("program", "option"),
    [("train.py", "--output_dir"), ("train.py", "--data.path"), ("train.py", "--config"), ("eval.py", "--ckpt")],
)
def test_a_path_that_is_too_long(fails_with, tiny, make_folder, tmp_path, program, option):
    options = {"--data.path": make_folder()}
    if program == "train.py":
        options |= {"--output_dir": tmp_path / "run"}
    arguments = [part for item in (options | {option: "x" * 5000}).items() for part in item]
    fails_with(["File name too long"], program, *(tiny if program == "train.py" else []), *arguments)
    assert not (tmp_path / "run").exists()


def test_device_that_is_not_available(train_fails, make_folder):
    train_fails(["runtime.device Ascend is not available"], "--data.path", make_folder(), "--runtime.device", "Ascend")


def test_initial_checkpoint_of_another_network(train_fails, make_folder, tiny_checkpoint):
    ckpt = tiny_checkpoint(depth=2)
    words = ["is for another network: it differs in depth (the file's: 2, the model's: 1)"]
    train_fails(words, "--data.path", make_folder(), "--model.checkpoint", ckpt)


def test_classes_that_are_not_in_the_source(train_fails, make_folder):
    words = ["has no class 'cow' (data.classes)", "the nearest is 'dog'"]
    train_fails(words, "--data.path", make_folder(), "--data.classes", "[cat, cow]")


def test_unknown_setting(fails_with):
    fails_with(["'optimizer.lrate'", "'optimizer.lr'"], "train.py", "--optimizer.lrate", 1)


@pytest.mark.parametrize("program", ["eval.py", "infer.py"])
def test_missing_checkpoint(fails_with, program, tmp_path):
    image = ["--image", "x.png"] if program == "infer.py" else []
    if image:
        Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
        image[1] = tmp_path / "x.png"
    fails_with(["no checkpoint nowhere.ckpt", "ckpt/nowhere.ckpt"], program, "--ckpt", "nowhere.ckpt", *image)


def test_truncated_checkpoint(fails_with, tiny_checkpoint):
    path = tiny_checkpoint()
    path.write_bytes(path.read_bytes()[:5000])
    fails_with(["is corrupt"], "eval.py", "--ckpt", path)


def test_evaluation_without_data(fails_with, tiny_checkpoint):
    fails_with(["needs --data.path"], "eval.py", "--ckpt", tiny_checkpoint())


def test_evaluation_output_that_is_not_writable(fails_with, tiny_checkpoint, make_folder, tmp_path):
    (tmp_path / "file").touch()
    output = tmp_path / "file/result.json"
    arguments = ["--ckpt", tiny_checkpoint(), "--data.path", make_folder(), "--output", output]
    fails_with(["cannot write into the folder"], "eval.py", *arguments)


@pytest.mark.parametrize(("content", "words"), [(None, "cannot read the image"), (b"hello", "is not an image")])
def test_a_file_that_is_not_an_image(fails_with, tiny_checkpoint, tmp_path, content, words):
    if content:
        (tmp_path / "x.jpg").write_bytes(content)
    output = tmp_path / "out.jpg"
    fails_with([words], "infer.py", "--ckpt", tiny_checkpoint(), "--image", tmp_path / "x.jpg", "--output", output)
    assert not output.exists()


@pytest.mark.slow
def test_annotated_image_of_an_unknown_format(fails_with, tiny_checkpoint, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    arguments = ["--ckpt", tiny_checkpoint(), "--image", tmp_path / "x.png", "--output", tmp_path / "out.xyz"]
    fails_with(["use .jpg or .png"], "infer.py", *arguments)
