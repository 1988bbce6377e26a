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


def test_a_folder_that_holds_a_run_is_writable_only_to_resume_or_overwrite_it(folder, tmp_path):
    folder.check_writable(overwrite=True, resumes=False)
    folder.check_writable(overwrite=False, resumes=True)
    with pytest.raises(UserError, match=r"run already holds a run; .*--resume auto.*--output_dir.*--overwrite true"):
        folder.check_writable(overwrite=False, resumes=False)
    new = RunFolder(tmp_path / "new/run")
    new.check_writable(overwrite=False, resumes=False)
    assert new.path.is_dir()


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
    folder.metrics.write_text('{"event": "epoch"}\n' * 2)
    assert folder.holds_trained_epochs()
    (folder.path / "last.ckpt").unlink()
    assert not folder.holds_trained_epochs()
