import errno
import os
import shutil

import pytest

from mindvit.errors import UserError
from mindvit.training.run_folder import RunFolder
from mindvit.training.run_state import RunState

NAMES = ["epoch0001-step00000005.ckpt", "epoch0002-step00000010.ckpt"]
STATES = [RunState(steps_per_epoch=5, total_steps=20, step=step) for step in (5, 10)]


@pytest.fixture
def folder(tmp_path):
    """The folder of a run with two training checkpoints."""
    made = RunFolder(tmp_path / "run")
    made.train_checkpoints.mkdir(parents=True)
    for name in NAMES:
        (made.train_checkpoints / name).touch()
    made.checkpoints.mkdir()
    for path in (made.config, made.summary, made.curves, made.path / "last.ckpt", made.checkpoints / "epoch0001.ckpt"):
        path.touch()
    return made


def test_a_folder_that_holds_any_result_of_a_run_is_not_free(folder):
    for results in (
        *([folder.path / name] for name in ("last.ckpt", "summary.json", "curves.png")),
        [folder.train_checkpoints / name for name in NAMES],
        [folder.checkpoints / "epoch0001.ckpt"],
        [folder.metrics],
    ):
        folder.metrics.write_text("{}\n")
        with pytest.raises(UserError, match=r"run already holds a run \(.*\); .*--resume auto.*--overwrite true"):
            folder.check_free()
        for path in results:
            path.unlink()
    folder.check_free()


def test_what_a_run_leaves_that_failed_before_its_first_result_does_not_count(tmp_path):
    folder = RunFolder(tmp_path)
    folder.check_free()
    folder.initialize("a: 1\n", RunState(steps_per_epoch=5, total_steps=20))
    folder.metrics.touch()
    folder.corrupt_images.write_text("a.png")
    (tmp_path / "vit_b_16_224.ckpt").touch()
    folder.check_free()
    folder.initialize("a: 2\n", RunState(steps_per_epoch=5, total_steps=20))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"config.yaml", "vit_b_16_224.ckpt"}, "a file that no run writes is kept"


def test_a_new_folder_to_which_nothing_was_written_is_removed(tmp_path):
    new = RunFolder(tmp_path / "new/run")
    new.acquire()
    new.check_free()
    new.release()
    assert not new.path.exists()
    new.acquire()
    new.config.touch()
    new.release()
    assert [path.name for path in new.path.iterdir()] == ["config.yaml"]


def test_a_run_that_starts_from_scratch_deletes_the_old_one(folder):
    folder.initialize("a: 1\n", RunState(steps_per_epoch=5, total_steps=20))
    assert [path.name for path in folder.path.iterdir()] == ["config.yaml"]
    assert folder.config.read_text() == "a: 1\n"


def test_a_run_that_resumes_deletes_only_later_training_checkpoints(folder):
    folder.initialize("a: 1\n", STATES[0])
    assert [path.name for path in folder.train_checkpoints.iterdir()] == NAMES[:1]
    assert (folder.path / "last.ckpt").exists() and (folder.checkpoints / "epoch0001.ckpt").exists()
    assert folder.has_checkpoint_of(STATES[0]) and not folder.has_checkpoint_of(STATES[1])


def test_the_hints_name_the_last_training_checkpoint(folder, tmp_path):
    newest = folder.train_checkpoints / NAMES[1]
    assert folder.last_checkpoint() == f"The last training checkpoint is {newest}."
    command = f"python train.py --config {folder.config} --resume auto"
    assert folder.resume_hint() == f"stopped; kept {newest}. Resume with: {command}"
    assert f"bash scripts/run_distribute_train.sh {folder.config} --resume auto" in folder.resume_hint(world_size=2)
    empty = RunFolder(tmp_path / "empty")
    assert empty.last_checkpoint() == "There is no training checkpoint yet."
    assert empty.resume_hint() == "stopped before the first training checkpoint; nothing was kept"


def test_a_run_that_was_interrupted_in_its_first_epoch_holds_no_trained_epochs(folder):
    assert folder.holds_trained_epochs()
    for name in NAMES:
        (folder.train_checkpoints / name).unlink()
    folder.metrics.write_text('{"event": "epoch"}\n')
    assert folder.holds_trained_epochs(), "it has a summary"
    folder.summary.unlink()
    assert not folder.holds_trained_epochs()
    folder.metrics.write_bytes(b'\xff{"event": "epoch"}\n' * 2)
    assert folder.holds_trained_epochs()
    (folder.path / "last.ckpt").unlink()
    assert not folder.holds_trained_epochs()


def test_training_checkpoints_on_another_disk_are_deleted_and_the_link_is_kept(folder, tmp_path):
    folder.train_checkpoints.rename(tmp_path / "disk")
    folder.train_checkpoints.symlink_to(tmp_path / "disk")
    folder.initialize("a: 1\n", RunState(steps_per_epoch=5, total_steps=20))
    assert folder.train_checkpoints.is_symlink()
    assert not list((tmp_path / "disk").iterdir())


def refusing(number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ESTALE])
@pytest.mark.parametrize(("module", "name"), [(shutil, "rmtree"), (os, "unlink")])
def test_an_old_run_that_cannot_be_deleted_is_an_error(folder, monkeypatch, module, name, number):
    monkeypatch.setattr(module, name, refusing(number))
    with pytest.raises(UserError, match=rf"cannot delete .*run/.*: {os.strerror(number)}"):
        folder.initialize("a: 1\n", RunState(steps_per_epoch=5, total_steps=20))


@pytest.mark.parametrize("number", [errno.EACCES, errno.ELOOP, errno.ESTALE, errno.EIO])
def test_training_checkpoints_that_cannot_be_listed_are_not_taken_for_none(folder, monkeypatch, number):
    scandir = os.scandir

    def refuse(path):
        if path == folder.train_checkpoints:
            raise OSError(number, os.strerror(number))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    words = rf"cannot read .*train_checkpoints: {os.strerror(number)}\. It may hold training checkpoints"
    for attempt in (
        folder.check_free,
        folder.holds_trained_epochs,
        folder.last_checkpoint,
        folder.resume_hint,
        lambda: folder.initialize("a: 1\n", STATES[0]),
    ):
        with pytest.raises(UserError, match=words) as raised:
            attempt()
        assert "--overwrite" not in str(raised.value)


@pytest.mark.parametrize("place", ["file", "loop", "x" * 5000, "nul\0"])
def test_a_path_that_can_be_no_folder_is_a_user_error(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    folder = RunFolder(tmp_path / place)
    with pytest.raises(UserError, match="cannot write into the folder") as raised:
        folder.acquire()
    assert len(str(raised.value)) < 500
    folder.release()
    assert (tmp_path / "file").is_file()
