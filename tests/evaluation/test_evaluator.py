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
from mindvit.data.folder import open_folder
from mindvit.data.images import read_image
from mindvit.errors import UserError
from mindvit.evaluation.evaluation_file import read_evaluation
from mindvit.evaluation.evaluator import EvalSettings, evaluate, evaluate_checkpoint
from mindvit.factory import load_trained
from mindvit.inference import classify
from mindvit.parsing import parse
from mindvit.weights.checkpoint import write_checkpoint

pytestmark = pytest.mark.eager


def run_eval(*arguments):
    """Evaluates with the options of eval.py."""
    return evaluate_checkpoint(parse(EvalSettings, "", [*map(str, arguments), "--data.num_workers", "1"])[0])


@pytest.mark.graph
@pytest.mark.slow
def test_every_image_counts_once_for_any_batch_size(tiny_checkpoint, make_folder):
    root, ckpt = make_folder(counts=7), tiny_checkpoint()
    results = [run_eval("--ckpt", ckpt, "--data.path", root, "--data.batch_size", size) for size in (1, 4, 5, 14, 100)]
    assert all(result.num_images == 14 for result in results)
    for result in results[1:]:
        assert result.top1 == results[0].top1
        assert result.loss == pytest.approx(results[0].loss, rel=1e-5)


@pytest.mark.slow
def test_evaluation_agrees_with_inference_for_each_image(tiny_checkpoint, make_folder):
    root, ckpt = make_folder(counts=7), tiny_checkpoint()
    trained = load_trained(str(ckpt))
    trained.network.set_train(False)
    split = open_folder(root).val
    right, losses = [], []
    for index, label in enumerate(split.labels):
        ranked = classify(np.asarray(read_image(split.describe(index))), trained)
        right.append(ranked[0].label == label)
        losses.append(-np.log(next(p.probability for p in ranked if p.label == label)))
    result = run_eval("--ckpt", ckpt, "--data.path", root)
    assert result.top1 == pytest.approx(100 * np.mean(right))
    assert result.loss == pytest.approx(np.mean(losses), rel=1e-4)


def test_json_and_table_have_the_metrics(tiny_checkpoint, make_folder, tmp_path, capsys):
    output = tmp_path / "new/result.json"
    result = run_eval("--ckpt", tiny_checkpoint(), "--data.path", make_folder(), "--output", output)
    stored = json.loads(output.read_text())
    for name in ("top1", "top5", "loss", "num_images"):
        assert stored[name] == getattr(result, name)
    assert stored["model"] == "vit_mini_4_32"
    assert "on_training_images" not in stored
    table = capsys.readouterr().out
    assert f"{result.top1:.2f} %" in table
    assert "images   6" in table


def test_the_mistakes_are_those_of_inference_and_name_their_files(tiny_checkpoint, make_folder, tmp_path):
    root, ckpt, output = make_folder(counts=7), tiny_checkpoint(), tmp_path / "out"
    (root / "val/cat/3.png").write_bytes(b"hello")
    options = ("--data.batch_size", 4, "--data.on_corrupt", "skip", "--output", output)
    result = run_eval("--ckpt", ckpt, "--data.path", root, *options)
    stored = read_evaluation(output / "evaluation.json")
    assert stored.num_mistakes == len(stored.mistakes) == round(13 * (1 - result.top1 / 100)) > 0
    trained = load_trained(str(ckpt))
    trained.network.set_train(False)
    probabilities = []
    for path in sorted((root / "val").glob("*/*.png")):
        if path.read_bytes() != b"hello":
            first = classify(path, trained)[0]
            if first.id != path.parent.name:
                probabilities.append((str(path), first.id, round(first.probability, 4)))
    found = [(item.file, item.predicted, round(item.probability, 4)) for item in stored.mistakes]
    assert sorted(found) == sorted(probabilities)
    assert [item.support for item in stored.per_class] == [6, 7]
    assert result.analysis.confusion_matrix.tolist() == [list(row) for row in stored.confusion_matrix]
    assert result.predictions.indices.tolist() == [*range(3), *range(4, 14)], "the corrupt image has no row"


@pytest.mark.slow
def test_labels_are_matched_by_class_name_not_by_position(tiny_checkpoint, make_folder):
    whole = run_eval("--ckpt", tiny_checkpoint("a.ckpt", ("ant", "cat", "dog")), "--data.path", make_folder())
    shuffled = run_eval("--ckpt", tiny_checkpoint("b.ckpt", ("ant", "dog", "cat")), "--data.path", make_folder("again"))
    assert whole.top5 == shuffled.top5 == 100
    assert whole.loss != shuffled.loss, "the same outputs are other classes"


def test_classes_that_the_model_was_not_trained_on_are_an_error(tiny_checkpoint, make_folder):
    with pytest.raises(UserError, match="was not trained on: dog"):
        run_eval("--ckpt", tiny_checkpoint("a.ckpt", ("cat", "cow")), "--data.path", make_folder())


@pytest.mark.slow
def test_a_checkpoint_without_metadata_is_evaluated_on_imagenet_by_its_name(make_folder, tmp_path, monkeypatch):
    make_folder("dataset", splits=("val",), classes=("n01440764", "n02107142"), counts=2)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ckpt").mkdir()
    network = create_model("vit_ti_16_224")
    bias = np.zeros(1000, np.float32)
    bias[236] = 1.0
    network.dense.bias.set_data(ms.Tensor(bias))
    ms.save_checkpoint(network, "ckpt/vit_ti_16_224.ckpt")
    result = run_eval("--ckpt", "vit_ti_16_224.ckpt")
    assert (result.top1, result.num_images) == (50, 4), "only the Dobermans are right"


def test_an_evaluation_on_the_training_images_says_so(tiny_checkpoint, make_folder, tmp_path):
    root, path, output = make_folder(splits=("train",), counts=5), tiny_checkpoint(), tmp_path / "result.json"
    loaded = load_trained(str(path))
    write_checkpoint(path, loaded.network, replace(loaded.metadata, data_path=str(root)))
    with pytest.warns(UserWarning, match="these are the images that the checkpoint was trained on"):
        assert run_eval("--ckpt", path, "--data.split", "train", "--output", output).num_images == 10
    assert json.loads(output.read_text())["on_training_images"] is True
    with pytest.raises(UserError, match="has no val split"):
        run_eval("--ckpt", path)


@pytest.fixture
def with_corrupt_images(make_folder):
    """A folder of fourteen images, two of them corrupt: one is not an image, one is a truncated JPEG."""
    root = make_folder(counts=7)
    (root / "val/cat/3.png").write_bytes(b"hello")
    intact = root / "val/dog/5.png"
    file = io.BytesIO()
    Image.open(intact).resize((64, 64)).save(file, "JPEG")
    (root / "val/dog/5.jpg").write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    intact.unlink()
    return root


@pytest.mark.slow
def test_corrupt_images_are_skipped_counted_and_listed(
    tiny_checkpoint, with_corrupt_images, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path / "images")
    before = set(Path.cwd().iterdir())
    ckpt, output = tiny_checkpoint(), tmp_path / "result.json"
    arguments = ("--ckpt", ckpt, "--data.path", with_corrupt_images, "--data.on_corrupt", "skip")
    result = run_eval(*arguments, "--data.batch_size", 4, "--output", output)
    table = capsys.readouterr().out
    stored = json.loads(output.read_text())
    corrupt = [str(with_corrupt_images / "val/cat/3.png"), str(with_corrupt_images / "val/dog/5.jpg")]
    assert stored["skipped_images"] == corrupt
    assert f"skipped  2 corrupt: {', '.join(corrupt)}\n" in table + "\n"
    assert set(Path.cwd().iterdir()) == before, "the evaluation leaves no files"

    for path in corrupt:
        Path(path).unlink()
    others = run_eval("--ckpt", ckpt, "--data.path", with_corrupt_images, "--data.batch_size", 4, "--output", output)
    assert (result.num_images, result.top1) == (others.num_images, others.top1) == (12, others.top1)
    assert result.loss == pytest.approx(others.loss, rel=1e-6)
    assert "skipped_images" not in json.loads(output.read_text())
    assert "skipped" not in capsys.readouterr().out


def test_skipping_reports_that_no_image_was_corrupt(tiny_checkpoint, make_folder, tmp_path, capsys):
    output = tmp_path / "result.json"
    run_eval("--ckpt", tiny_checkpoint(), "--data.path", make_folder(), "--data.on_corrupt", "skip", "--output", output)
    assert json.loads(output.read_text())["skipped_images"] == []
    assert "skipped  0 corrupt\n" in capsys.readouterr().out


def test_by_default_a_corrupt_image_is_an_error(tiny_checkpoint, with_corrupt_images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"val/cat/3\.png"):
        run_eval("--ckpt", tiny_checkpoint(), "--data.path", with_corrupt_images)


def test_the_table_lists_only_the_first_corrupt_images(tiny_checkpoint, make_folder, tmp_path, capsys):
    root, output = make_folder(counts=7), tmp_path / "result.json"
    for index in range(12):
        (root / f"val/cat/x{index:02}.jpg").write_bytes(b"hello")
    run_eval("--ckpt", tiny_checkpoint(), "--data.path", root, "--data.on_corrupt", "skip", "--output", output)
    table = capsys.readouterr().out
    assert "12 corrupt" in table and "x09.jpg, …" in table and "x10.jpg" not in table
    assert len(json.loads(output.read_text())["skipped_images"]) == 12


def test_a_split_of_corrupt_images_only_is_an_error(tiny_checkpoint, make_folder):
    root = make_folder(counts=2)
    for path in root.glob("val/*/*.png"):
        path.write_bytes(b"hello")
    with pytest.raises(UserError, match="val has no image that can be decoded"):
        run_eval("--ckpt", tiny_checkpoint(), "--data.path", root, "--data.on_corrupt", "skip")


@pytest.fixture
def subset_checkpoint(tiny_checkpoint):
    """A checkpoint that was trained on the classes cat and dog of a source that has more classes."""
    path = tiny_checkpoint()
    loaded = load_trained(str(path))
    write_checkpoint(path, loaded.network, replace(loaded.metadata, is_class_subset=True))
    return path


@pytest.mark.slow
def test_a_class_subset_is_evaluated_and_the_other_classes_are_reported_as_omitted(
    subset_checkpoint, make_folder, tmp_path, capsys
):
    output = tmp_path / "result.json"
    two_classes = run_eval("--ckpt", subset_checkpoint, "--data.path", make_folder(), "--output", output)
    assert "omitted" not in capsys.readouterr().out
    assert "other_classes" not in json.loads(output.read_text())

    more = make_folder("more", classes=("ant", "cat", "cow", "dog"))
    for name in ("cat", "dog"):
        shutil.rmtree(more / "val" / name)
        shutil.copytree(tmp_path / "images/val" / name, more / "val" / name)
    result = run_eval("--ckpt", subset_checkpoint, "--data.path", more, "--output", output)
    assert "omitted  6 of other classes: ant, cow\n" in capsys.readouterr().out
    stored = json.loads(output.read_text())
    assert (stored["images_of_other_classes"], stored["other_classes"]) == (6, ["ant", "cow"])
    assert (result.top1, result.num_images) == (two_classes.top1, 6)
    assert result.loss == pytest.approx(two_classes.loss, rel=1e-6)


def test_a_source_may_lack_classes_of_the_subset_but_not_all_of_them(subset_checkpoint, make_folder):
    few = make_folder("few", classes=("ant", "cat"))
    assert run_eval("--ckpt", subset_checkpoint, "--data.path", few).num_images == 3
    with pytest.raises(UserError, match="was not trained on: ant, bee"):
        run_eval("--ckpt", subset_checkpoint, "--data.path", make_folder("none", classes=("ant", "bee")))


def test_the_classes_to_evaluate_can_be_chosen(tiny_checkpoint, make_folder, capsys):
    root, ckpt = make_folder(classes=("ant", "cat", "cow", "dog")), tiny_checkpoint("a.ckpt", ("ant", "cat", "dog"))
    result = run_eval("--ckpt", ckpt, "--data.path", root, "--data.classes", "[cat, dog]")
    assert result.num_images == 6
    assert "omitted  6 of other classes: ant, cow" in capsys.readouterr().out
    with pytest.raises(UserError, match="was not trained on: cow"):
        run_eval("--ckpt", ckpt, "--data.path", root, "--data.classes", "[cat, cow]")
    with pytest.raises(UserError, match="has no class 'cob'"):
        run_eval("--ckpt", ckpt, "--data.path", root, "--data.classes", "[cat, cob]")


# The Python function


@pytest.fixture
def pynative():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.graph
@pytest.mark.slow
def test_evaluate_takes_a_path_or_a_trained_model_and_agrees_with_the_program(tiny_checkpoint, make_folder, capsys):
    root, ckpt = make_folder(counts=7), tiny_checkpoint()
    expected = run_eval("--ckpt", ckpt, "--data.path", root)
    capsys.readouterr()
    assert evaluate(ckpt, root, num_workers=1) == expected
    assert evaluate(str(ckpt), str(root), num_workers=1) == expected
    trained = load_trained(str(ckpt))
    assert evaluate(trained, root, num_workers=1) == expected
    assert capsys.readouterr().out == "", "the function prints nothing"


@pytest.mark.slow
def test_evaluate_takes_the_settings_of_the_data(tiny_checkpoint, with_corrupt_images):
    trained = load_trained(str(tiny_checkpoint()))
    settings = {"source": "folder", "batch_size": 4, "num_workers": 1}
    assert evaluate(trained, with_corrupt_images, on_corrupt="skip", **settings).num_images == 12
    assert evaluate(trained, with_corrupt_images, split="train", **settings).num_images == 14


def test_evaluate_uses_the_data_of_the_checkpoint_by_default(tiny_checkpoint, make_folder):
    trained = load_trained(str(tiny_checkpoint()))
    trained = replace(trained, metadata=replace(trained.metadata, data_path=str(make_folder(counts=4))))
    assert evaluate(trained, num_workers=1).num_images == 8


@pytest.mark.graph
def test_evaluate_runs_in_pynative_mode(tiny_checkpoint, make_folder, pynative):
    root, ckpt = make_folder(counts=7), tiny_checkpoint()
    found = evaluate(ckpt, root, num_workers=1)
    assert ms.get_context("mode") == ms.PYNATIVE_MODE, "it does not change the mode"
    expected = run_eval("--ckpt", ckpt, "--data.path", root)
    assert ms.get_context("mode") == ms.GRAPH_MODE
    assert (found.top1, found.top5, found.num_images) == (expected.top1, expected.top5, expected.num_images)
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batchsize": 4}, "an evaluation has no setting 'batchsize'; the nearest is 'batch_size'"),
        ({"batch_size": 0}, r"data\.batch_size must be at least 1, not 0"),
        ({"batch_size": "many"}, "not supported"),
        ({"split": "all"}, r"data\.split must be one of train, val, test, not 'all'"),
        ({"source": "cifar"}, r"data\.source must be one of folder, .*, not 'cifar'"),
        ({"classes": ("cat",)}, r"data\.classes needs at least two classes"),
        ({"classes": ("cat", "cob")}, "has no class 'cob'"),
    ],
)
def test_evaluate_reports_wrong_settings(tiny_checkpoint, make_folder, settings, words):
    with pytest.raises(UserError, match=words):
        evaluate(tiny_checkpoint(), make_folder(), **settings)


def test_evaluate_reports_a_missing_checkpoint_and_missing_data(tiny_checkpoint, tmp_path):
    with pytest.raises(UserError, match=r"absent\.ckpt"):
        evaluate(tmp_path / "absent.ckpt", tmp_path)
    with pytest.raises(UserError, match="absent"):
        evaluate(tiny_checkpoint(), tmp_path / "absent")


def test_outputs_that_are_not_finite_are_an_error(tiny_checkpoint, make_folder, tmp_path):
    """The weights are finite, so loading accepts them, but float32 overflows."""
    path, output = tiny_checkpoint(), tmp_path / "result.json"
    trained = load_trained(str(path))
    weights = trained.network.dense.weight
    weights.set_data(ms.Tensor(np.full(weights.shape, 3e38, np.float32)))
    trained.network.norm.beta.set_data(ms.Tensor(np.full(32, 9, np.float32)))
    write_checkpoint(path, trained.network, trained.metadata)
    words = "the outputs of the network are not finite for 6 of 6 images; the weights are broken"
    with pytest.raises(UserError, match=words):
        run_eval("--ckpt", path, "--data.path", make_folder(), "--output", output)
    assert not output.exists()
