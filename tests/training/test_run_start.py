"""The start of a run: what it does to its folder before the first step, and if it fails there. Nothing is trained."""

import errno
import os
import time
from types import SimpleNamespace

import pytest
import yaml

from mindvit.data.folder import open_folder
from mindvit.errors import UserError
from mindvit.files import FileError
from mindvit.parsing import parse
from mindvit.training import trainer
from mindvit.training.callbacks.train_checkpoint_saver import TrainCheckpointSaver
from mindvit.training.recipe import Recipe
from mindvit.training.run_folder import RunFolder
from mindvit.training.trackers import tracker_set


@pytest.fixture
def start(tmp_path, tiny, make_folder, monkeypatch):
    """Starts a run in tmp_path/run, and does `action(run)` in place of its steps."""
    images = make_folder(counts=6)

    def run(*arguments, action=lambda run: None):
        monkeypatch.setattr(trainer, "_run_steps", lambda run, *_: action(run))
        monkeypatch.setattr(trainer, "write_summary", lambda *_: "ended")
        options = ["--output_dir", str(tmp_path / "run"), "--data.path", str(images), "--train.epochs", "1"]
        return trainer.train(parse(Recipe, "", [*tiny, *options, *arguments])[0])

    return run


def raising(error):
    def action(run):
        raise error

    return action


def test_a_run_that_failed_before_its_first_step_does_not_block_the_corrected_command(start, tmp_path):
    with pytest.raises(UserError, match="the first image is corrupt"):
        start(action=raising(UserError("the first image is corrupt")))
    assert start("--optimizer.lr", "0.5") == "ended"
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["optimizer"]["lr"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data.path", "nowhere"], "nowhere does not exist"),
        (["--optimizer.rules", "[{pattern: '*', frozen: true}]"], "freeze every parameter"),
        (["--model.checkpoint", "nowhere.ckpt"], "nowhere.ckpt"),
    ],
)
def test_an_error_in_the_setup_leaves_no_folder(start, tmp_path, arguments, words):
    with pytest.raises(UserError, match=words):
        start(*arguments)
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_reported_before_the_folder_is_made_and_the_data_are_read(start, tmp_path, monkeypatch):
    def find_spec(name):
        assert not (tmp_path / "run").exists()

    monkeypatch.setattr(tracker_set, "find_spec", find_spec)
    with pytest.raises(UserError, match=r"needs the package wandb: pip install"):
        start("--train.tracker", "wandb", "--data.path", "nowhere")
    assert not (tmp_path / "run").exists()


def test_a_run_without_validation_images_says_so_and_refuses_what_needs_them(start, tmp_path):
    path = ["--data.path", str(tmp_path / "images/train")]
    with pytest.warns(UserWarning, match="images/train has no val split: no accuracy is measured") as notes:
        assert start(*path) == "ended"
    assert len([note for note in notes if "no val split" in str(note.message)]) == 1
    for options in (["--train.patience", "3"], ["--checkpoint.metric", "val_loss"], ["--checkpoint.keep_best", "2"]):
        with pytest.raises(UserError, match=rf"^{options[0][2:]}.* needs validation images.* data.val_fraction"):
            start(*path, *options)


def test_the_metadata_say_which_images_were_held_out(start, tmp_path):
    found = []
    held_out = ["--data.path", str(tmp_path / "images/train"), "--data.val_fraction", "0.5", "--data.split_seed", "7"]
    start(*held_out, action=lambda run: found.append(run))
    metadata = found[0].metadata
    assert (metadata.val_fraction, metadata.split_seed) == (0.5, 7)
    assert metadata.divided_data == str(open_folder(tmp_path / "images/train").train.fingerprint())
    assert (len(found[0].source.train), len(found[0].source.val)) == (6, 6)


def test_the_overview_tells_how_unequal_the_classes_are_and_what_helps(start, tmp_path, capsys):
    start()
    assert "balance    6 images per class\n" in capsys.readouterr().out
    for index in range(2, 6):
        (tmp_path / f"images/train/dog/{index}.png").unlink()
    start("--overwrite", "true")
    out = capsys.readouterr().out
    assert "balance    3.0 : 1; images per class: cat 6, dog 2\n           loss.class_weights balanced or" in out
    start("--overwrite", "true", "--loss.class_weights", "balanced")
    assert "cat 6, dog 2 (set: loss.class_weights)\n" in capsys.readouterr().out


def test_what_balances_classes_reaches_the_loss_and_the_sampling(start, tmp_path):
    for index in range(2, 6):
        (tmp_path / f"images/train/dog/{index}.png").unlink()
    found = []
    options = ["--loss.class_weights", "balanced", "--loss.focal_gamma", "1.5", "--data.batch_size", "4"]
    start(*options, action=lambda run: found.append(run))
    loss = found[0].components.step.loss
    assert loss.class_weights.asnumpy().tolist() == pytest.approx([8 / 12, 8 / 4])
    assert loss.focal_gamma == 1.5
    assert found[0].plan.groups is None
    with pytest.warns(UserWarning, match="both make up for unequal classes"):
        start(*options, "--data.balanced_sampling", "true", "--overwrite", "true", action=lambda run: found.append(run))
    shown = [int(found[1].source.train.labels[found[1].plan.image_index(sample)]) for sample in range(8)]
    assert sum(shown) == 4
    assert found[1].components.step.loss.class_weights.asnumpy().tolist() == pytest.approx([0.5, 1.5])


@pytest.mark.parametrize("option", [[], ["--resume", "auto"], ["--overwrite", "true"]])
def test_a_second_run_in_the_same_folder_ends_within_a_second_and_changes_nothing(start, tmp_path, option):
    folder = tmp_path / "run"

    def start_another(run):
        (folder / "last.ckpt").write_text("weights of the first run")
        before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}
        started = time.monotonic()
        with pytest.raises(UserError, match=rf"run is in use by another run \(process {os.getpid()} on .*since 2"):
            start("--optimizer.lr", "0.5", *option)
        assert time.monotonic() - started < 1
        assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")} == before

    assert start(action=start_another) == "ended"
    assert not (folder / "run.lock").exists()


def test_an_error_while_writing_says_what_was_kept_and_how_to_resume(start):
    with pytest.raises(
        UserError, match=r"^cannot write a: full\. The run stopped before the first training checkpoint"
    ):
        start(action=raising(FileError("cannot write a: full")))

    def fail_later(run):
        run.folder.train_checkpoints.mkdir()
        (run.folder.train_checkpoints / "epoch0001-step00000003.ckpt").touch()
        raise FileError("cannot write a: full")

    with pytest.raises(UserError, match=r"full\. The run stopped; kept .*00003\.ckpt\. Resume with: .*--resume auto"):
        start(action=fail_later)


def test_no_old_run_is_deleted_if_its_training_checkpoints_cannot_be_read(start, tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    folder.train_checkpoints.mkdir(parents=True)
    (folder.train_checkpoints / "epoch0001-step00000003.ckpt").touch()
    (folder.path / "best.ckpt").touch()
    scandir = os.scandir

    def refuse(path):
        if path == folder.train_checkpoints:
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for option in ([], ["--resume", "auto"]):
        with pytest.raises(UserError, match=r"cannot read .*train_checkpoints: Permission denied") as raised:
            start(*option)
        assert "--overwrite" not in str(raised.value)
    assert sorted(path.name for path in folder.path.iterdir()) == ["best.ckpt", "train_checkpoints"]


def save(run):
    """As after a step."""
    run.state.step = 1
    TrainCheckpointSaver(run, SimpleNamespace(epoch=None, read=lambda: None)).save()


def test_a_run_does_not_resume_on_images_that_were_deleted_or_classes_that_were_renamed(start, tmp_path):
    start(action=save)
    images = tmp_path / "images"
    for split in ("train", "val"):
        (images / split / "cat").rename(images / split / "katze")
    with pytest.raises(
        UserError, match=r"other labels: class 'cat' \(label 0\) is now 'katze' \(label 1\); class 'dog'"
    ):
        start("--resume", "auto", "--allow_config_changes", "true")
    for split in ("train", "val"):
        (images / split / "katze").rename(images / split / "cats")
    (images / "train/dog/5.png").unlink()
    words = "class 'cat' is now 'cats'; train: 1 image fewer in 'dog'"
    with pytest.raises(UserError, match=f"trained on other data: {words}"):
        start("--resume", "auto")
    with pytest.warns(UserWarning, match=f"resumes on other data: {words}"):
        start("--resume", "auto", "--allow_config_changes", "true")
