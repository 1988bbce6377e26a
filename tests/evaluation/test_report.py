import json

import mindspore as ms
import numpy as np
import pytest

from mindvit import create_model
from mindvit.config import parse
from mindvit.data.folder import open_folder
from mindvit.data.pictures import read_picture
from mindvit.errors import UserError
from mindvit.evaluation.report import EvalSettings, evaluate_checkpoint
from mindvit.factory import load_trained
from mindvit.inference import classify


def evaluate(*arguments):
    return evaluate_checkpoint(parse(EvalSettings, "", [*map(str, arguments), "--data.num_workers", "1"])[0])


def test_every_picture_counts_once_whatever_the_batch(tiny_checkpoint, make_folder):
    root, ckpt = make_folder(counts=7), tiny_checkpoint()
    results = [evaluate("--ckpt", ckpt, "--data.path", root, "--data.batch_size", size) for size in (1, 4, 5, 14, 100)]
    assert all(result.num_images == 14 for result in results)
    for result in results[1:]:
        assert result.top1 == results[0].top1
        assert result.loss == pytest.approx(results[0].loss, rel=1e-5)


def test_evaluation_agrees_with_inference_picture_by_picture(tiny_checkpoint, make_folder):
    root, ckpt = make_folder(counts=7), tiny_checkpoint()
    trained = load_trained(str(ckpt))
    trained.network.set_train(False)
    split = open_folder(root).val
    right, losses = [], []
    for index, label in enumerate(split.labels):
        ranked = classify(read_picture(split.describe(index)), trained)
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
