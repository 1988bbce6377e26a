import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from PIL import Image

from mindvit import create_model
from mindvit.parsing import parse
from mindvit.data.folder import open_folder
from mindvit.data.images import read_image
from mindvit.errors import UserError
from mindvit.evaluation.evaluator import EvalSettings, evaluate_checkpoint
from mindvit.factory import load_trained
from mindvit.inference import classify
from mindvit.weights.checkpoint import write_checkpoint


def evaluate(*arguments):
    return evaluate_checkpoint(parse(EvalSettings, "", [*map(str, arguments), "--data.num_workers", "1"])[0])


def test_every_image_counts_once_whatever_the_batch(tiny_checkpoint, make_folder):
    root, ckpt = make_folder(counts=7), tiny_checkpoint()
    results = [evaluate("--ckpt", ckpt, "--data.path", root, "--data.batch_size", size) for size in (1, 4, 5, 14, 100)]
    assert all(result.num_images == 14 for result in results)
    for result in results[1:]:
        assert result.top1 == results[0].top1
        assert result.loss == pytest.approx(results[0].loss, rel=1e-5)


def test_evaluation_agrees_with_inference_image_by_image(tiny_checkpoint, make_folder):
    root, ckpt = make_folder(counts=7), tiny_checkpoint()
    trained = load_trained(str(ckpt))
    trained.network.set_train(False)
    split = open_folder(root).val
    right, losses = [], []
    for index, label in enumerate(split.labels):
        ranked = classify(np.asarray(read_image(split.describe(index))), trained)
        right.append(ranked[0].label == label)
        losses.append(-np.log(next(p.probability for p in ranked if p.label == label)))
    result = evaluate("--ckpt", ckpt, "--data.path", root)
    assert result.top1 == pytest.approx(100 * np.mean(right))
    assert result.loss == pytest.approx(np.mean(losses), rel=1e-4)


def test_json_and_table_hold_the_figures(tiny_checkpoint, make_folder, tmp_path, capsys):
    output = tmp_path / "new/result.json"
    result = evaluate("--ckpt", tiny_checkpoint(), "--data.path", make_folder(), "--output", output)
    stored = json.loads(output.read_text())
    for name in ("top1", "top5", "loss", "num_images"):
        assert stored[name] == getattr(result, name)
    assert stored["model"] == "vit_mini_4_32"
    table = capsys.readouterr().out
    assert f"{result.top1:.2f} %" in table
    assert "images   6" in table


def test_labels_go_by_class_name_not_by_place(tiny_checkpoint, make_folder):
    whole = evaluate("--ckpt", tiny_checkpoint("a.ckpt", ("ant", "cat", "dog")), "--data.path", make_folder())
    shuffled = evaluate("--ckpt", tiny_checkpoint("b.ckpt", ("ant", "dog", "cat")), "--data.path", make_folder("again"))
    assert whole.top5 == shuffled.top5 == 100
    assert whole.loss != shuffled.loss, "the same outputs stand for other classes"


def test_classes_that_the_model_does_not_know_are_named(tiny_checkpoint, make_folder):
    with pytest.raises(UserError, match="was not trained on: dog"):
        evaluate("--ckpt", tiny_checkpoint("a.ckpt", ("cat", "cow")), "--data.path", make_folder())


def test_a_bare_checkpoint_is_evaluated_on_imagenet_by_its_name(make_folder, tmp_path, monkeypatch):
    make_folder("dataset", splits=("val",), classes=("n01440764", "n02107142"), counts=2)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ckpt").mkdir()
    network = create_model("vit_ti_16_224")
    bias = np.zeros(1000, np.float32)
    bias[236] = 1.0
    network.dense.bias.set_data(ms.Tensor(bias))
    ms.save_checkpoint(network, "ckpt/vit_ti_16_224.ckpt")
    result = evaluate("--ckpt", "vit_ti_16_224.ckpt")
    assert (result.top1, result.num_images) == (50, 4), "the Dobermans, and they alone"


def test_the_train_split_can_be_evaluated(tiny_checkpoint, make_folder):
    root = make_folder(splits=("train",), counts=5)
    assert evaluate("--ckpt", tiny_checkpoint(), "--data.path", root, "--data.split", "train").num_images == 10
    with pytest.raises(UserError, match="has no val split"):
        evaluate("--ckpt", tiny_checkpoint(), "--data.path", root)


@pytest.fixture
def half_sound(make_folder):
    """A folder of fourteen images, two of which are damaged: one is no image, one a JPEG cut in the middle."""
    root = make_folder(counts=7)
    (root / "val/cat/3.png").write_bytes(b"hello")
    sound = root / "val/dog/5.png"
    file = io.BytesIO()
    Image.open(sound).resize((64, 64)).save(file, "JPEG")
    (root / "val/dog/5.jpg").write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    sound.unlink()
    return root


def test_damaged_images_are_left_out_counted_and_named(tiny_checkpoint, half_sound, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path / "images")
    before = set(Path.cwd().iterdir())
    ckpt, output = tiny_checkpoint(), tmp_path / "result.json"
    arguments = ("--ckpt", ckpt, "--data.path", half_sound, "--data.on_corrupt", "skip")
    result = evaluate(*arguments, "--data.batch_size", 4, "--output", output)
    table = capsys.readouterr().out
    stored = json.loads(output.read_text())
    damaged = [str(half_sound / "val/cat/3.png"), str(half_sound / "val/dog/5.jpg")]
    assert stored["skipped_images"] == damaged
    assert f"skipped  2 damaged: {', '.join(damaged)}\n" in table + "\n"
    assert set(Path.cwd().iterdir()) == before, "nothing is left behind"

    for path in damaged:
        Path(path).unlink()
    others = evaluate("--ckpt", ckpt, "--data.path", half_sound, "--data.batch_size", 4, "--output", output)
    assert (result.num_images, result.top1) == (others.num_images, others.top1) == (12, others.top1)
    assert result.loss == pytest.approx(others.loss, rel=1e-6)
    assert "skipped_images" not in json.loads(output.read_text())
    assert "skipped" not in capsys.readouterr().out


def test_skipping_says_that_there_was_nothing_to_skip(tiny_checkpoint, make_folder, tmp_path, capsys):
    output = tmp_path / "result.json"
    evaluate("--ckpt", tiny_checkpoint(), "--data.path", make_folder(), "--data.on_corrupt", "skip", "--output", output)
    assert json.loads(output.read_text())["skipped_images"] == []
    assert "skipped  0 damaged\n" in capsys.readouterr().out


def test_by_default_a_damaged_image_ends_the_evaluation(tiny_checkpoint, half_sound, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"val/cat/3\.png"):
        evaluate("--ckpt", tiny_checkpoint(), "--data.path", half_sound)


def test_many_damaged_images_do_not_fill_the_screen(tiny_checkpoint, make_folder, tmp_path, capsys):
    root, output = make_folder(counts=7), tmp_path / "result.json"
    for index in range(12):
        (root / f"val/cat/x{index:02}.jpg").write_bytes(b"hello")
    evaluate("--ckpt", tiny_checkpoint(), "--data.path", root, "--data.on_corrupt", "skip", "--output", output)
    table = capsys.readouterr().out
    assert "12 damaged" in table and "x09.jpg, …" in table and "x10.jpg" not in table
    assert len(json.loads(output.read_text())["skipped_images"]) == 12


def test_images_that_are_all_damaged_are_refused(tiny_checkpoint, make_folder):
    root = make_folder(counts=2)
    for path in root.glob("val/*/*.png"):
        path.write_bytes(b"hello")
    with pytest.raises(UserError, match="val has no image that can be decoded"):
        evaluate("--ckpt", tiny_checkpoint(), "--data.path", root, "--data.on_corrupt", "skip")


@pytest.fixture
def part_checkpoint(tiny_checkpoint):
    """A checkpoint that was trained on the cats and dogs of a source that has more classes."""
    path = tiny_checkpoint()
    loaded = load_trained(str(path))
    write_checkpoint(path, loaded.network, replace(loaded.metadata, is_part=True))
    return path


def test_of_a_source_a_part_of_which_was_trained_on_that_part_counts_and_the_rest_is_told(
    part_checkpoint, make_folder, tmp_path, capsys
):
    output = tmp_path / "result.json"
    alone = evaluate("--ckpt", part_checkpoint, "--data.path", make_folder(), "--output", output)
    assert "left out" not in capsys.readouterr().out
    assert "other_classes" not in json.loads(output.read_text())

    more = make_folder("more", classes=("ant", "cat", "cow", "dog"))
    for name in ("cat", "dog"):
        shutil.rmtree(more / "val" / name)
        shutil.copytree(tmp_path / "images/val" / name, more / "val" / name)
    result = evaluate("--ckpt", part_checkpoint, "--data.path", more, "--output", output)
    assert "left out 6 of other classes: ant, cow\n" in capsys.readouterr().out
    stored = json.loads(output.read_text())
    assert (stored["images_of_other_classes"], stored["other_classes"]) == (6, ["ant", "cow"])
    assert (result.top1, result.num_images) == (alone.top1, 6)
    assert result.loss == pytest.approx(alone.loss, rel=1e-6)


def test_a_part_may_lack_a_class_that_was_trained_on_but_must_share_one(part_checkpoint, make_folder):
    few = make_folder("few", classes=("ant", "cat"))
    assert evaluate("--ckpt", part_checkpoint, "--data.path", few).num_images == 3
    with pytest.raises(UserError, match="was not trained on: ant, bee"):
        evaluate("--ckpt", part_checkpoint, "--data.path", make_folder("none", classes=("ant", "bee")))


def test_classes_to_evaluate_on_can_be_chosen(tiny_checkpoint, make_folder, capsys):
    root, ckpt = make_folder(classes=("ant", "cat", "cow", "dog")), tiny_checkpoint("a.ckpt", ("ant", "cat", "dog"))
    result = evaluate("--ckpt", ckpt, "--data.path", root, "--data.classes", "[cat, dog]")
    assert result.num_images == 6
    assert "left out 6 of other classes: ant, cow" in capsys.readouterr().out
    with pytest.raises(UserError, match="was not trained on: cow"):
        evaluate("--ckpt", ckpt, "--data.path", root, "--data.classes", "[cat, cow]")
    with pytest.raises(UserError, match="has no class 'cob'"):
        evaluate("--ckpt", ckpt, "--data.path", root, "--data.classes", "[cat, cob]")
