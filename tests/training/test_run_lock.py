"""The lock on a run folder: who gets it, and when it is released."""

import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from mindvit.errors import UserError
from mindvit.training import run_lock
from mindvit.training.callbacks.check_run_folder import CheckRunFolder
from mindvit.training.run_folder import RunFolder
from mindvit.training.run_lock import RunLock
from tests.conftest import ROOT

HOLD = """
import sys
from pathlib import Path
from mindvit.training.run_lock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path):
    made = RunLock(tmp_path)
    yield made
    made.release()


def test_a_second_run_is_told_who_holds_the_folder_and_changes_nothing(lock, tmp_path):
    lock.acquire()
    before = lock.path.read_bytes(), lock.path.stat().st_mtime_ns
    other = RunLock(tmp_path)
    with pytest.raises(UserError, match=rf"is in use by another run \(process {os.getpid()} on .* since 2\d\d\d-.*\)"):
        other.acquire()
    other.release()
    assert (lock.path.read_bytes(), lock.path.stat().st_mtime_ns) == before
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]


def test_a_released_lock_leaves_no_file_and_can_be_taken_again(lock, tmp_path):
    for _ in range(2):
        lock.acquire()
        lock.release()
        lock.release()
        assert not list(tmp_path.iterdir())
    lock.acquire()


def test_a_killed_process_holds_no_lock(lock, tmp_path):
    command = [sys.executable, "-c", HOLD, tmp_path]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match=f"process {holder.pid} on"):
            lock.acquire()
        holder.send_signal(signal.SIGKILL)
    lock.acquire()
    assert f"process {os.getpid()} " in lock.path.read_text()


def test_a_forked_process_that_outlives_the_run_does_not_keep_the_lock(tmp_path, lock):
    lock.acquire()
    end, other_end = socket.socketpair()
    child = os.fork()
    if not child:
        other_end.close()
        end.send(b"started")
        end.recv(1)  # Until the parent closes its end.
        os._exit(0)
    try:
        assert other_end.recv(7) == b"started"
        other = RunLock(tmp_path)
        with pytest.raises(UserError, match="in use"):
            other.acquire()
        os.close(lock._descriptor)  # As the system does when the parent dies.
        run_lock._held.remove(lock._descriptor)
        other.acquire()
        other.release()
    finally:
        lock._descriptor = None
        other_end.close()
        os.waitpid(child, 0)


def test_a_lock_whose_file_was_just_removed_is_not_taken_for_the_new_one(lock, tmp_path, monkeypatch):
    first = RunLock(tmp_path)
    first.acquire()
    flock, calls = fcntl.flock, []

    def release_before(descriptor, operation):
        if not calls:
            first.release()
        calls.append(descriptor)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", release_before)
    lock.acquire()
    assert len(calls) == 2, "the first file was removed after it was opened"
    assert os.path.samestat(os.fstat(lock._descriptor), lock.path.stat())


def test_a_file_system_without_locks_gets_a_note(lock, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock.path.write_text("process 7 on node9 since then\n")
    with pytest.warns(UserWarning, match=r"has no locks \(No locks available\).* such as process 7 on node9"):
        lock.acquire()
    lock.check()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ESTALE])
def test_a_lock_that_cannot_be_written_is_a_user_error(lock, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UserError, match=rf"cannot write .*run\.lock: {os.strerror(number)}"):
        lock.acquire()


def test_a_run_folder_that_was_deleted_or_replaced_ends_the_run_before_it_writes(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.acquire()
    check = CheckRunFolder(folder)
    check.on_train_step_end(None)
    shutil.rmtree(folder.path)
    for attempt in (check.on_train_step_end, check.on_train_epoch_end):
        with pytest.raises(UserError, match="run was deleted or replaced during the run"):
            attempt(None)
    other = RunFolder(folder.path)
    other.acquire()
    with pytest.raises(UserError, match="run was deleted or replaced during the run"):
        check.on_train_step_end(None)
    folder.release()
    assert other.lock.path.exists(), "a run does not remove the lock of another one"
    other.release()


def test_a_lock_file_that_somebody_deleted_is_written_again(lock):
    lock.acquire()
    lock.path.unlink()
    lock.check()
    assert f"process {os.getpid()} " in lock.path.read_text()
    lock.path.unlink()
    other = RunLock(lock.folder)
    other.acquire()
    with pytest.raises(UserError, match="in use by another run"):
        lock.check()
    other.release()
