import errno
import json
import shutil
from dataclasses import asdict

import mindspore as ms
import numpy as np
import pytest
import yaml

from mindvit import files
from mindvit.data import folder as folder_source
from mindvit.data.digits import open_digits
from mindvit.data.images import read_image
from mindvit.errors import UserError
from mindvit.evaluation.evaluator import evaluate
from mindvit.factory import load_trained
from mindvit.parsing import parse
from mindvit.training import trainer
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.overview import Summary
from mindvit.training.recipe import Recipe
from mindvit.training.resume import read_train_checkpoint
from mindvit.training.run_folder import RunFolder
from mindvit.training.setup import setup
from mindvit.weights.checkpoint import read_checkpoint
from tests.training.builders import values_of
from tests.training.run_files import lines, tensors

REFERENCE = [
    *("--train.epochs", 3, "--train.log_steps", 2, "--train.tracker", "tensorboard"),
    *("--optimizer.lr", 0.01, "--schedule.warmup_epochs", 1),
    *("--checkpoint.keep_best", 2, "--checkpoint.keep_last", 1),
]


@pytest.fixture(scope="module")
def three_digits(tmp_path_factory):
    """The digits 0, 1 and 2 of the real images."""
    root = tmp_path_factory.mktemp("digits")
    open_digits(root / "all")
    for split in ("train", "val"):
        for digit in "012":
            shutil.copytree(root / "all" / split / digit, root / "three" / split / digit)
    return root / "three"


@pytest.fixture(scope="module")
def kept():
    """What runs that several tests read have left."""
    return {}


@pytest.fixture
def reference(kept, train, make_folder):
    """The data and the folder of one run, of a compiled graph, that several tests read."""
    if "reference" not in kept:
        root = make_folder(counts=6)
        kept["reference"] = root, train("--data.path", root, *REFERENCE, "--runtime.mode", "graph", draws=True)
    return kept["reference"]


@pytest.fixture
def set_up(tmp_path, tiny):
    """Sets up a run of a tiny network, without training it."""

    def prepare(*arguments):
        recipe, _ = parse(Recipe, "", [*tiny, "--output_dir", str(tmp_path / "run"), *map(str, arguments)])
        folder = RunFolder(tmp_path / "run")
        try:
            return setup(recipe, folder)
        finally:
            folder.release()

    return prepare


def test_a_small_network_learns_three_digits(train, three_digits):
    folder = train(
        *("--data.path", three_digits, "--data.batch_size", 32, "--train.epochs", 12, "--optimizer.lr", 2e-3),
        *("--augment.crop_scale", "[0.8,1.0]", "--augment.flip", "false", "--model.patch_size", 2, "--model.depth", 2),
        *("--runtime.mode", "graph"),
    )
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["top1"] > 90, "chance is 33"
    assert summary["num_images"] == sum(1 for _ in (three_digits / "val").rglob("*.png"))
    losses = [line["train_loss"] for line in lines(folder)]
    assert losses[-1] < 0.6 * losses[0]


def test_a_run_writes_all_files_of_its_folder(reference):
    _, folder = reference
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "curves.png",
        "summary.json",
        "best.ckpt",
        "last.ckpt",
        "checkpoints",
        "train_checkpoints",
        "tensorboard",
    }
    epochs = lines(folder)
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    assert [line["step"] for line in epochs] == [3, 6, 9]
    assert [line["step"] for line in lines(folder, "step")] == [2, 4, 6, 8]
    keys = {"train_loss", "lr", "grad_norm", "mfu", "images_per_second", "top1", "top5", "val_loss", "num_images"}
    assert all(keys <= line.keys() for line in epochs)
    assert all(line["num_images"] == 12 for line in epochs)

    summary = json.loads((folder / "summary.json").read_text())
    best = max(epochs, key=lambda line: (line["top1"], -line["val_loss"]))
    assert (summary["top1"], summary["best_epoch"]) == (best["top1"], best["epoch"])
    assert summary["train_seconds"] > 0
    assert summary["images_per_second"] > 0
    assert read_checkpoint(folder / "best.ckpt").metadata.epoch == best["epoch"]
    assert read_checkpoint(folder / "last.ckpt").metadata.epoch == 3


def test_a_run_that_computes_operator_by_operator_has_the_metrics_of_a_graph(reference, train, capfd):
    root, folder = reference
    capfd.readouterr()
    found = train("--data.path", root, *REFERENCE, "--runtime.mode", "pynative", name="pynative")
    out, _ = capfd.readouterr()
    assert "operator by operator" in out and "compil" not in out
    for line, expected in zip(lines(found), lines(folder), strict=True):
        for name in ("train_loss", "grad_norm", "val_loss", "top1", "lr"):
            assert line[name] == pytest.approx(expected[name], rel=1e-4), name


def test_the_metadata_describes_the_run(reference):
    root, folder = reference
    metadata = read_checkpoint(folder / "best.ckpt").metadata
    assert metadata.model_name == "vit_mini_4_32"
    assert (metadata.model.image_size, metadata.model.num_classes) == (8, 2)
    assert metadata.classes.names == ("cat", "dog")
    assert (metadata.data_source, metadata.data_path) == ("folder", str(root))
    assert set(metadata.metrics) == {"train_loss", "top1", "top5", "val_loss", "num_images"}


def test_unbalanced_classes_without_splits_train_and_resume_and_are_evaluated_on_held_out_images(train, make_folder):
    root = make_folder(splits=("",), counts=20)
    for index in range(4, 20):
        (root / f"dog/{index}.png").unlink()
    options = ["--data.path", root, "--data.val_fraction", 0.25, "--data.balanced_sampling", "true"]
    options += ["--loss.class_weights", "[1, 2]", "--loss.focal_gamma", 2, "--train.epochs", 2]
    folder = train(*options)
    assert [line["num_images"] for line in lines(folder)] == [6, 6]
    evaluation = evaluate(folder / "best.ckpt")
    best = json.loads((folder / "summary.json").read_text())
    assert (evaluation.num_images, evaluation.top1) == (6, best["top1"])
    resumed = train(*options, "--resume", sorted((folder / "train_checkpoints").iterdir())[0], name="resumed")
    for name, value in tensors(folder / "last.ckpt").items():
        np.testing.assert_array_equal(tensors(resumed / "last.ckpt")[name], value)


def test_the_resolved_config_reproduces_the_run(train, make_folder, tmp_path):
    first = train("--data.path", make_folder(counts=6), "--train.epochs", 2)
    resolved = yaml.safe_load((first / "config.yaml").read_text())
    actual = {"device": "CPU", "amp_level": "O0", "amp_dtype": "float16", "fused_attention": False, "data_sink": False}
    actual |= {
        "flat_weights": False,
        "jit_level": "O0",
        "mode": "pynative",
        "native_kernels": "auto",
        "compile_cache": None,
    }
    assert resolved["runtime"] == {**actual, "peak_tflops": 0.1}
    assert resolved["augment"]["flip"] is True
    assert resolved["model"]["norm_eps"] == 1e-6
    ms.set_seed(123)
    ms.dataset.config.set_seed(123)
    recipe, _ = parse(Recipe, "", ["--config", str(first / "config.yaml"), "--output_dir", str(tmp_path / "second")])
    trainer.train(recipe)
    one, other = tensors(first / "last.ckpt"), tensors(tmp_path / "second/last.ckpt")
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


def test_another_seed_gives_other_weights(set_up, make_folder):
    root = make_folder(counts=6)
    runs = [set_up("--data.path", root, "--train.seed", seed) for seed in (0, 1)]
    one, other = (values_of(run.network)["transformer.layers.0.0.cell.1.qkv.weight"] for run in runs)
    assert np.abs(one - other).max() > 0.01


def test_the_learning_rate_follows_the_schedule(reference):
    _, folder = reference
    rates = [line["lr"] for line in lines(folder, "step")]
    np.testing.assert_allclose(rates, [0.01 / 3, 0.01, 0.0075, 0.0025], rtol=1e-5)


def test_training_from_a_checkpoint_starts_with_its_weights(train, make_folder):
    root = make_folder(counts=6)
    start = train("--data.path", root, "--train.epochs", 1) / "last.ckpt"
    frozen = ["--optimizer.lr", 1e-12, "--train.epochs", 1, "--data.path", root]
    folder = train("--model.checkpoint", start, *frozen, name="tuned")
    one, other = tensors(start), tensors(folder / "last.ckpt")
    for name, value in one.items():
        np.testing.assert_allclose(value, other[name], atol=1e-7)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("ant", "bee", "cow"), "head has 3 classes and the model's has 2; dense is newly initialized"),
        (("cow", "dog"), "head has other classes than the model's; dense is newly initialized"),
        (("dog", "cat"), "head has other classes than the model's; dense is newly initialized"),
    ],
)
def test_training_for_other_classes_starts_with_a_new_head_and_warns(
    set_up, make_folder, tiny_checkpoint, classes, words
):
    start = tiny_checkpoint(classes=classes)
    with pytest.warns(UserWarning, match=words):
        run = set_up("--model.checkpoint", start, "--data.path", make_folder(counts=6))
    one, other = tensors(start), values_of(run.network)
    assert other["dense.weight"].shape == (2, 32)
    np.testing.assert_array_equal(other["dense.weight"], 0)
    np.testing.assert_array_equal(one["pos_embedding"], other["pos_embedding"])


def test_training_for_the_same_classes_keeps_the_head(set_up, make_folder, tiny_checkpoint):
    start = tiny_checkpoint()
    run = set_up("--model.checkpoint", start, "--data.path", make_folder(counts=6))
    one, other = tensors(start), values_of(run.network)
    assert one["dense.weight"].any()
    np.testing.assert_array_equal(one["dense.weight"], other["dense.weight"])


def test_a_run_trains_on_a_subset_of_the_classes_and_of_their_images(train, make_folder):
    root = make_folder(classes=("ant", "cat", "dog"), counts=7)
    subset = ["--data.classes", "[ant, dog]", "--data.samples_per_class", 4, "--train.epochs", 1]
    folder = train("--data.path", root, *subset)
    resolved = yaml.safe_load((folder / "config.yaml").read_text())
    assert (resolved["data"]["classes"], resolved["data"]["samples_per_class"]) == (["ant", "dog"], 4)
    assert len(lines(folder, "step")) == 0
    assert lines(folder)[0]["num_images"] == 14, "all images of both classes are in the validation split"
    metadata = read_checkpoint(folder / "best.ckpt").metadata
    assert metadata.classes.ids == ("ant", "dog")
    assert metadata.is_class_subset
    again, _ = parse(Recipe, "", ["--config", str(folder / "config.yaml")])
    assert again.data.classes == ("ant", "dog")


@pytest.mark.slow
def test_train_returns_the_summary(tmp_path, tiny, make_folder):
    options = ["--data.path", str(make_folder(counts=6)), "--train.epochs", "1", "--ema.decay", "0.9"]
    recipe, _ = parse(Recipe, "", [*tiny, *options, "--output_dir", str(tmp_path / "run")])
    summary = trainer.train(recipe)
    assert isinstance(summary, Summary)
    assert asdict(summary) == json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary.num_images, summary.epochs, summary.best_epoch) == (12, 1, 1)
    assert summary.best_weights in ("raw", "ema")
    best = read_checkpoint(tmp_path / "run/best.ckpt").metadata.metrics
    assert (summary.top1, summary.top5) == (best["top1"], best["top5"])


def test_o2_trains_on_cpu(train, make_folder):
    folder = train("--data.path", make_folder(counts=6), "--train.epochs", 1, "--runtime.amp_level", "O2")
    assert np.isfinite(lines(folder)[0]["train_loss"])


def test_a_folder_without_validation_images_trains_without_evaluation(train, make_folder):
    folder = train("--data.path", make_folder(counts=6) / "train", "--train.epochs", 1)
    assert "top1" not in lines(folder)[0]
    assert not (folder / "best.ckpt").exists()
    assert read_checkpoint(folder / "last.ckpt").metadata.epoch == 1
    assert json.loads((folder / "summary.json").read_text())["top1"] is None


def test_a_loss_that_is_not_finite_ends_the_run_with_an_error_that_names_the_step(train, make_folder, tmp_path):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 3, "--optimizer.name", "sgd"]
    blow_up = ["--optimizer.lr", 1e30, "--schedule.name", "step", "--schedule.step_epochs", 9]
    with pytest.raises(UserError, match=r"not finite at step 2 \(epoch 1\).*no training checkpoint yet.*optimizer\.lr"):
        train(*options, *blow_up)


def test_early_stopping_waits_for_its_patience(train, make_folder, capfd):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 9, "--train.patience", 2]
    folder = train(*options, "--optimizer.lr", 1e-30)
    # The weights do not change, and neither do the metrics.
    assert [line["epoch"] for line in lines(folder)] == [1, 2, 3]
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["epochs"], summary["stopped_early"]) == (3, True)
    capfd.readouterr()
    train(*options, "--optimizer.lr", 1e-30, "--resume", "auto")
    assert len(lines(folder)) == 3, "a run that stopped early does not resume"
    assert "stopped early after epoch 3 of 9: no better top1 than" in capfd.readouterr().out


def test_the_length_of_a_run_can_be_set_in_steps(train, make_folder):
    folder = train("--data.path", make_folder(counts=6), "--train.steps", 5, "--train.log_steps", 1)
    assert [line["step"] for line in lines(folder, "step")] == [1, 2, 3, 4, 5]
    assert [line["step"] for line in lines(folder)] == [3, 5], "the last, incomplete epoch is evaluated too"
    np.testing.assert_allclose(lines(folder, "step")[-1]["lr"], 1e-3 * (1 + np.cos(np.pi * 4 / 5)) / 2, rtol=1e-4)


def test_averages_are_evaluated_and_saved(train, make_folder):
    averages = ["--ema.decay", 0.5, "--swa.start_epoch", 2]
    folder = train("--data.path", make_folder(counts=6), "--train.epochs", 2, *averages, "--optimizer.lr", 0.01)
    first, second = lines(folder)
    assert {"top1", "ema_top1", "ema_val_loss"} <= first.keys()
    assert "swa_top1" not in first
    assert second["swa_val_loss"] == pytest.approx(second["val_loss"]), "the mean of the weights of one epoch"
    assert len({second["val_loss"], second["ema_val_loss"]}) == 2
    for name, key in (("last.ckpt", "val_loss"), ("last_ema.ckpt", "ema_val_loss"), ("last_swa.ckpt", "swa_val_loss")):
        trained = load_trained(str(folder / name))
        assert trained.metadata.metrics["val_loss"] == second[key]
    assert not [name for name in tensors(folder / "last_ema.ckpt") if name.startswith("ema.")]


def check_best_weights(folder, key):
    best = sorted(lines(folder), key=key)[:2]
    names = {f"epoch{r['epoch']:04d}-loss{r['val_loss']:.4f}-top1_{r['top1']:.2f}.ckpt" for r in best}
    assert {path.name for path in (folder / "checkpoints").iterdir()} == names
    assert read_checkpoint(folder / "best.ckpt").metadata.epoch == best[0]["epoch"]
    assert len(list((folder / "train_checkpoints").iterdir())) == 1


def test_the_best_weights_are_kept_by_top1_with_loss_and_top1_in_their_names(reference):
    _, folder = reference
    check_best_weights(folder, lambda r: (-r["top1"], r["val_loss"]))


def test_the_best_weights_are_kept_by_loss_with_loss_and_top1_in_their_names(train, make_folder):
    kept = ["--checkpoint.keep_best", 2, "--checkpoint.keep_last", 1, "--checkpoint.metric", "val_loss"]
    folder = train("--data.path", make_folder(counts=6), "--train.epochs", 4, *kept, "--optimizer.lr", 0.01)
    check_best_weights(folder, lambda r: (r["val_loss"], -r["top1"]))


def test_linear_probing_trains_the_head_only(train, make_folder, tiny_checkpoint, capfd):
    start = tiny_checkpoint()
    probing = ["--optimizer.linear_probing", "true", "--optimizer.lr", 0.1]
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 1]
    folder = train(*options, *probing, "--model.checkpoint", start)
    before, after = tensors(start), tensors(folder / "last.ckpt")
    moved = {name for name in before if (before[name] != after[name]).any()}
    assert moved == {"dense.weight", "dense.bias"}
    assert "frozen" in capfd.readouterr().out, "the groups are printed"


def test_corrupt_images_are_skipped_counted_and_listed(train, make_folder):
    root = make_folder(counts=6)
    for corrupt in ("train/cat/1.png", "val/dog/2.png"):
        (root / corrupt).write_bytes((root / corrupt).read_bytes()[:60])
    folder = train("--data.path", root, "--train.epochs", 1, "--data.on_corrupt", "skip")
    (line,) = lines(folder)
    assert (line["skipped_images"], line["num_images"]) == (2, 11)
    listed = (folder / "corrupt_images.txt").read_text()
    assert "train/cat/1.png" in listed
    assert "val/dog/2.png" in listed


def test_a_run_whose_images_stay_in_memory_decodes_each_once_and_has_the_same_weights(train, make_folder, monkeypatch):
    root, reads = make_folder(counts=6), []
    monkeypatch.setattr(
        folder_source, "read_image", lambda path, **options: (reads.append(path), read_image(path, **options))[1]
    )
    runs = {}
    for cache in ("none", "ram"):
        reads.clear()
        options = ["--data.path", root, "--train.epochs", 3, "--data.cache", cache]
        runs[cache] = tensors(train(*options, name=cache) / "last.ckpt"), list(reads)
    (weights, _), (cached_weights, cached_reads) = runs.values()
    for name, value in weights.items():
        np.testing.assert_array_equal(cached_weights[name], value, err_msg=name)
    assert max(map(runs["none"][1].count, runs["none"][1])) == 3
    assert len(cached_reads) == 2 * len(set(cached_reads)), "once for the estimate, once for all epochs"


def test_tensorboard_has_the_metrics_of_steps_and_epochs(reference):
    _, folder = reference
    content = b"".join(path.read_bytes() for path in (folder / "tensorboard").iterdir())
    for tag, count in ((b"step/loss", 4), (b"step/grad_norm", 4), (b"epoch/top1", 3)):
        assert content.count(tag) == count


def test_a_full_disk_ends_the_run_with_an_error_and_the_last_training_checkpoint_is_intact(
    train, make_folder, monkeypatch, tmp_path
):
    sync, calls = files.os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(
        UserError, match=r"cannot write .*: No space left on device\. The run stopped; kept .*--resume auto"
    ):
        train("--data.path", make_folder(counts=6), "--train.epochs", 9)
    (*_, newest) = sorted((tmp_path / "run/train_checkpoints").glob("*.ckpt"))
    assert read_train_checkpoint(newest).state.step >= 3
    assert not list((tmp_path / "run").rglob(".being-written*"))


def test_a_folder_that_is_deleted_during_a_run_ends_it_with_an_error_and_does_not_come_back(
    train, make_folder, monkeypatch, tmp_path
):
    class Deleting(MetricsRecorder):
        def on_train_step_end(self, run_context):
            super().on_train_step_end(run_context)
            if self.state.step == 2:
                shutil.rmtree(tmp_path / "run")

    monkeypatch.setattr(trainer, "MetricsRecorder", Deleting)
    options = ["--checkpoint.every_steps", 1, "--train.log_steps", 1, "--train.tracker", "tensorboard"]
    with pytest.raises(UserError, match="run was deleted or replaced during the run"):
        train("--data.path", make_folder(counts=6), "--train.epochs", 2, *options)
    assert not (tmp_path / "run").exists()


def test_a_run_is_overwritten_only_if_the_setting_allows_it(train, make_folder):
    root = make_folder(counts=6)
    folder = train("--data.path", root, "--train.epochs", 1)
    kept = (folder / "last.ckpt").read_bytes()
    with pytest.raises(ValueError, match=r"already holds a run.*--overwrite true"):
        train("--data.path", root, "--train.epochs", 1)
    with pytest.raises(ValueError, match="nowhere does not exist"):
        train("--data.path", "nowhere", "--overwrite", "true")
    assert (folder / "last.ckpt").read_bytes() == kept, "an error deletes nothing"
    train("--data.path", root, "--train.epochs", 2, "--overwrite", "true")
    assert len(lines(folder)) == 2
    assert yaml.safe_load((folder / "config.yaml").read_text())["overwrite"] is False


def test_label_smoothing_changes_the_training_loss_only(train, make_folder, tiny_checkpoint):
    same_images = ["--augment.crop_scale", "[1,1]", "--augment.crop_ratio", "[1,1]", "--augment.flip", "false"]
    start = ["--model.checkpoint", tiny_checkpoint(), "--optimizer.lr", 1e-12, "--train.epochs", 1]
    root = make_folder(counts=6)
    plain, some, more = (
        lines(train(*start, *same_images, "--data.path", root, "--loss.label_smoothing", s, name=f"s{s}"))[0]
        for s in (0.0, 0.2, 0.4)
    )
    assert abs(some["train_loss"] - plain["train_loss"]) > 0.01
    # The loss is linear in the smoothing.
    difference = more["train_loss"] - plain["train_loss"]
    assert difference == pytest.approx(2 * (some["train_loss"] - plain["train_loss"]), rel=1e-3)
    assert plain["val_loss"] == pytest.approx(more["val_loss"], rel=1e-6)
