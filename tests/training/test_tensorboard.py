"""Event files for TensorBoard on a disk that fails."""

import errno
from threading import Thread
from types import SimpleNamespace

import pytest

from mindvit.errors import UserError
from mindvit.training.callbacks.tensorboard import TensorBoard
from mindvit.training.run_state import RunState


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_disk_that_fails_neither_blocks_the_run_nor_passes_silently(tmp_path, monkeypatch):
    recorder = SimpleNamespace(epoch=None, loss=1.0, norm=None, read=lambda: None)
    board = TensorBoard(tmp_path, recorder, RunState(5, 20, step=1), log_steps=1)

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    file = board.writer.file_writer.event_writer._ev_writer
    monkeypatch.setattr(file, "write_event", fail)
    monkeypatch.setattr(file, "flush", fail)

    def write_more_than_the_default_queue_holds():
        for _ in range(50):
            board.on_train_step_end(None)

    steps = Thread(target=write_more_than_the_default_queue_holds, daemon=True)
    steps.start()
    steps.join(timeout=10)
    assert not steps.is_alive()
    recorder.epoch = SimpleNamespace(to_json=lambda: {"event": "epoch", "top1": 50.0})
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
        board.on_train_epoch_end(None)
    board.writer.file_writer.event_writer._worker.join(timeout=10)
    with board:
        pass


def test_a_folder_that_cannot_be_made_is_a_user_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file/tensorboard"):
        TensorBoard(tmp_path / "file/tensorboard", None, RunState(5, 20), log_steps=1)
