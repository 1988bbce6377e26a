"""The callback that saves training checkpoints, with stand-ins for the run and the recorder."""

from types import SimpleNamespace

import numpy as np
import pytest
from mindspore import Parameter, Tensor

from mindvit.training.best_checkpoints import CheckpointSettings
from mindvit.training.callbacks import train_checkpoint_saver
from mindvit.training.callbacks.train_checkpoint_saver import TrainCheckpointSaver
from mindvit.training.run_folder import RunFolder
from mindvit.training.run_state import RunState
from tests.training.checkpoint_builders import DATA


@pytest.fixture
def make_saver(tmp_path, monkeypatch):
    """Makes the saver of a run with one tensor, which has 5 steps per epoch."""

    def make(is_main=True, **settings):
        tensor = Parameter(Tensor(np.zeros(2, np.float32)), name="weight")
        monkeypatch.setattr(train_checkpoint_saver, "train_state_tensors", lambda step, averages: {"weight": tensor})
        run = SimpleNamespace(
            recipe=SimpleNamespace(checkpoint=CheckpointSettings(**settings)),
            runtime=SimpleNamespace(is_main=is_main),
            folder=RunFolder(tmp_path),
            components=SimpleNamespace(step=None, averages=[]),
            state=RunState(steps_per_epoch=5, total_steps=20),
            settings={},
            source=SimpleNamespace(fingerprint=DATA),
        )
        return TrainCheckpointSaver(run, SimpleNamespace(epoch=None, read=lambda: None))

    return make


def take_steps(saver, count):
    for _ in range(count):
        saver.run.state.step += 1
        saver.on_train_step_end(None)


def saved(tmp_path):
    return sorted(path.name for path in (tmp_path / "train_checkpoints").glob("*"))


def test_training_checkpoints_are_saved_every_few_steps_but_not_at_the_end_of_an_epoch(make_saver, tmp_path):
    take_steps(make_saver(every_steps=2, keep_last=9), 11)
    assert saved(tmp_path) == [
        "epoch0001-step00000002.ckpt",
        "epoch0001-step00000004.ckpt",
        "epoch0002-step00000006.ckpt",
        "epoch0002-step00000008.ckpt",
    ]


def test_the_newest_training_checkpoints_are_kept(make_saver, tmp_path):
    saver = make_saver(every_steps=1, keep_last=2)
    take_steps(saver, 4)
    assert saved(tmp_path) == ["epoch0001-step00000003.ckpt", "epoch0001-step00000004.ckpt"]
    assert saver.run.state.seconds > 0


def test_an_interrupted_epoch_is_not_saved(make_saver, tmp_path):
    saver = make_saver()
    take_steps(saver, 3)
    saver.on_train_epoch_end(None)
    assert saved(tmp_path) == []
    assert saver.run.state.recorded_epochs == 0


def test_other_ranks_do_not_write(make_saver, tmp_path):
    take_steps(make_saver(is_main=False, every_steps=1), 3)
    assert saved(tmp_path) == []
