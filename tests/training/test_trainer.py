import json
import shutil
import signal

import mindspore as ms
import numpy as np
import pytest
import yaml

from mindvit.config import parse
from mindvit.data.digits import open_digits
from mindvit.training import trainer
from mindvit.training.callbacks.record import EpochRecord
from mindvit.training.recipe import Recipe
from mindvit.weights.checkpoint import read_checkpoint


@pytest.fixture
def train(tmp_path, tiny):
    def run(*arguments, name="run"):
        recipe, _ = parse(Recipe, "", [*tiny, "--output_dir", str(tmp_path / name), *map(str, arguments)])
        trainer.train(recipe)
        return tmp_path / name

    return run


def records(folder, event="epoch"):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def tensors(path):
    return {name: value.asnumpy() for name, value in read_checkpoint(path).tensors.items()}


@pytest.fixture(scope="module")
def three_digits(tmp_path_factory):
    """The digits 0, 1 and 2: a part of the real pictures."""
    root = tmp_path_factory.mktemp("digits")
    open_digits(root / "all")
    for split in ("train", "val"):
        for digit in "012":
            shutil.copytree(root / "all" / split / digit, root / "three" / split / digit)
    return root / "three"


def test_a_small_network_learns_a_part_of_the_digits(train, three_digits):
    folder = train(
        *("--data.path", three_digits, "--data.batch_size", 32, "--train.epochs", 12, "--optimizer.lr", 2e-3),
        *("--augment.crop_scale", "[0.8,1.0]", "--augment.flip", "false", "--model.patch_size", 2),
    )
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["top1"] > 90, "chance is 33"
    assert summary["num_images"] == sum(1 for _ in (three_digits / "val").rglob("*.png"))
    losses = [record["train_loss"] for record in records(folder)]
    assert losses[-1] < 0.6 * losses[0]


def test_a_run_writes_its_whole_folder(train, make_folder):
    folder = train("--data.path", make_folder(counts=6), "--train.epochs", 3, "--train.log_steps", 2)
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "metrics.jsonl",
        "curves.png",
        "summary.json",
        "best.ckpt",
        "last.ckpt",
    }
    epochs = records(folder)
    assert [record["epoch"] for record in epochs] == [1, 2, 3]
    assert [record["step"] for record in epochs] == [3, 6, 9]
    assert [record["step"] for record in records(folder, "step")] == [2, 4, 6, 8]
    keys = {"train_loss", "lr", "images_per_second", "top1", "top5", "val_loss", "num_images"}
    assert all(keys <= record.keys() for record in epochs)
    assert all(record["num_images"] == 12 for record in epochs)

    summary = json.loads((folder / "summary.json").read_text())
    best = max(epochs, key=lambda record: (record["top1"], -record["val_loss"]))
    assert (summary["top1"], summary["best_epoch"]) == (best["top1"], best["epoch"])
    assert summary["train_seconds"] > 0
    assert summary["images_per_second"] > 0
    assert read_checkpoint(folder / "best.ckpt").passport.epoch == best["epoch"]
    assert read_checkpoint(folder / "last.ckpt").passport.epoch == 3


def test_the_passport_knows_the_run(train, make_folder):
    root = make_folder(counts=6)
    passport = read_checkpoint(train("--data.path", root, "--train.epochs", 1) / "best.ckpt").passport
    assert passport.model_name == "vit_mini_4_32"
    assert (passport.model.image_size, passport.model.num_classes) == (8, 2)
    assert passport.classes.names == ("cat", "dog")
    assert (passport.data_source, passport.data_path) == ("folder", str(root))
    assert set(passport.metrics) == {"train_loss", "top1", "top5", "val_loss", "num_images"}


def test_the_resolved_config_repeats_the_run(train, make_folder, tmp_path):
    first = train("--data.path", make_folder(counts=6), "--train.epochs", 2)
    resolved = yaml.safe_load((first / "config.yaml").read_text())
    assert resolved["runtime"] == {"device": "CPU", "precision": "O0"}
    assert resolved["augment"]["flip"] is True
    assert resolved["model"]["norm_eps"] == 1e-6
    ms.set_seed(123)
    ms.dataset.config.set_seed(123)
    recipe, _ = parse(Recipe, "", ["--config", str(first / "config.yaml"), "--output_dir", str(tmp_path / "second")])
    trainer.train(recipe)
    one, other = tensors(first / "last.ckpt"), tensors(tmp_path / "second/last.ckpt")
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


def test_another_seed_trains_other_weights(train, make_folder):
    root = make_folder(counts=6)
    runs = [train("--data.path", root, "--train.epochs", 1, "--train.seed", s, name=f"s{s}") for s in (0, 1)]
    one, other = (tensors(folder / "last.ckpt")["transformer.layers.0.0.cell.1.qkv.weight"] for folder in runs)
    assert np.abs(one - other).max() > 0.01


def test_the_learning_rate_is_the_schedules(train, make_folder):
    folder = train(
        *("--data.path", make_folder(counts=6), "--train.epochs", 2, "--train.log_steps", 1),
        *("--optimizer.lr", 0.01, "--schedule.warmup_epochs", 1),
    )
    rates = [record["lr"] for record in records(folder, "step")]
    np.testing.assert_allclose(rates, [0, 0.01 / 3, 0.02 / 3, 0.01, 0.0075, 0.0025], rtol=1e-5)


def test_training_from_a_checkpoint_begins_with_its_weights(train, make_folder):
    root = make_folder(counts=6)
    start = train("--data.path", root, "--train.epochs", 1) / "last.ckpt"
    frozen = ["--optimizer.lr", 1e-12, "--train.epochs", 1, "--data.path", root]
    folder = train("--model.checkpoint", start, *frozen, name="tuned")
    one, other = tensors(start), tensors(folder / "last.ckpt")
    for name, value in one.items():
        np.testing.assert_allclose(value, other[name], atol=1e-7)


def test_training_for_other_classes_starts_a_fresh_head_when_asked_to(train, make_folder, tiny_checkpoint):
    start = tiny_checkpoint(classes=("ant", "bee", "cow"))
    frozen = ["--optimizer.lr", 1e-12, "--train.epochs", 1, "--data.path", make_folder(counts=6)]
    folder = train("--model.checkpoint", start, "--model.reset_head", "true", *frozen)
    one, other = tensors(start), tensors(folder / "last.ckpt")
    assert other["dense.weight"].shape == (2, 32)
    np.testing.assert_allclose(other["dense.weight"], 0, atol=1e-7)
    np.testing.assert_allclose(one["pos_embedding"], other["pos_embedding"], atol=1e-7)


def test_o2_trains_on_cpu(train, make_folder):
    folder = train("--data.path", make_folder(counts=6), "--train.epochs", 1, "--runtime.precision", "O2")
    assert np.isfinite(records(folder)[0]["train_loss"])


def test_one_splits_folder_trains_without_evaluation(train, make_folder):
    folder = train("--data.path", make_folder(counts=6) / "train", "--train.epochs", 1)
    assert "top1" not in records(folder)[0]
    assert not (folder / "best.ckpt").exists()
    assert read_checkpoint(folder / "last.ckpt").passport.epoch == 1
    assert json.loads((folder / "summary.json").read_text())["top1"] is None


@pytest.fixture
def signalled(monkeypatch):
    """Makes runs receive signals at the end of a step."""

    def arrange(step, *numbers):
        class SignalledRecord(EpochRecord):
            def on_train_step_end(self, run_context):
                super().on_train_step_end(run_context)
                if run_context.original_args().cur_step_num == step:
                    for number in numbers:
                        signal.raise_signal(number)

        monkeypatch.setattr(trainer, "EpochRecord", SignalledRecord)

    return arrange


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_after_its_step(train, make_folder, signalled, tmp_path, number):
    signalled(4, number)
    handlers = [signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt, match=r"kept .*last\.ckpt \(step 4 of 9\) and .*best\.ckpt \(epoch 1\)"):
        train("--data.path", make_folder(counts=6), "--train.epochs", 3)
    assert [signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM)] == handlers
    folder = tmp_path / "run"
    assert read_checkpoint(folder / "last.ckpt").passport.epoch == 1, "the second epoch was not finished"
    assert (folder / "curves.png").exists()
    assert not (folder / "summary.json").exists()
    assert "top1" not in records(folder)[-1]


@pytest.mark.parametrize(("step", "words"), [(2, "nothing was kept"), (5, r"last\.ckpt \(step 3 of 9\)")])
def test_a_second_signal_stops_at_once(train, make_folder, signalled, step, words):
    signalled(step, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=words):
        train("--data.path", make_folder(counts=6), "--train.epochs", 3)


def test_a_run_is_not_written_over_unless_told(train, make_folder):
    root = make_folder(counts=6)
    folder = train("--data.path", root, "--train.epochs", 1)
    kept = (folder / "last.ckpt").read_bytes()
    with pytest.raises(ValueError, match=r"already holds a run.*--overwrite true"):
        train("--data.path", root, "--train.epochs", 1)
    with pytest.raises(ValueError, match="nowhere does not exist"):
        train("--data.path", "nowhere", "--overwrite", "true")
    assert (folder / "last.ckpt").read_bytes() == kept, "a mistake loses nothing"
    train("--data.path", root, "--train.epochs", 2, "--overwrite", "true")
    assert len(records(folder)) == 2
    assert yaml.safe_load((folder / "config.yaml").read_text())["overwrite"] is False


def test_label_smoothing_acts_on_the_training_loss_alone(train, make_folder, tiny_checkpoint):
    same_pictures = ["--augment.crop_scale", "[1,1]", "--augment.crop_ratio", "[1,1]", "--augment.flip", "false"]
    start = ["--model.checkpoint", tiny_checkpoint(), "--optimizer.lr", 1e-12, "--train.epochs", 1]
    root = make_folder(counts=6)
    plain, some, more = (
        records(train(*start, *same_pictures, "--data.path", root, "--loss.label_smoothing", s, name=f"s{s}"))[0]
        for s in (0.0, 0.2, 0.4)
    )
    assert abs(some["train_loss"] - plain["train_loss"]) > 0.01
    # The loss is a straight line in the smoothing.
    difference = more["train_loss"] - plain["train_loss"]
    assert difference == pytest.approx(2 * (some["train_loss"] - plain["train_loss"]), rel=1e-3)
    assert plain["val_loss"] == pytest.approx(more["val_loss"], rel=1e-6)
