"""The supervisor around a stand-in for msrun, which does with its processes what msrun was seen to do."""

import os
import signal
import sys
import threading
import time

import psutil
import pytest

from mindvit.launch import supervisor
from mindvit.launch.job import Job

STAND_IN = """
import os, signal, subprocess, sys, time
from pathlib import Path

logs, delay, *programs = sys.argv[1:]
time.sleep(float(delay))


def start(role, number, program):
    name = "scheduler" if role == "MS_SCHED" else f"worker_{number}"
    environment = {**os.environ, "MS_ROLE": role, "RANK_ID": str(number)}
    with open(Path(logs) / f"{name}.log", "w") as log:
        return subprocess.Popen(
            [sys.executable, "-u", "-c", program], env=environment, stdout=log, stderr=log, preexec_fn=os.setsid
        )


scheduler = start("MS_SCHED", 0, programs[0])
workers = [start("MS_WORKER", number, program) for number, program in enumerate(programs[1:])]
while any(worker.poll() is None for worker in workers):
    failed = [worker for worker in workers if worker.poll()]
    if failed:
        break
    time.sleep(0.05)
failed = [worker for worker in workers if worker.poll()]
if failed:
    print(f"Worker process {failed[0].pid} exit with exception. Error code: {failed[0].returncode}.", flush=True)
    time.sleep(0.5)
    for worker in workers:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
scheduler.wait()
sys.exit(bool(failed) or scheduler.returncode != 0)
"""
JOB = Job(2, 1, 0, "127.0.0.1", 8118, 60, False)
LINGER, LEAVE = "import time; time.sleep(60)", "pass"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
FAIL = "raise ValueError('broken')"
WELL = "print('hello from a worker')"
STOP = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("kept a state"), sys.exit(130)))
print("ready")
time.sleep(60)
"""


@pytest.fixture
def supervise(monkeypatch, tmp_path, capfdbinary):
    """Supervises a scheduler and workers, given as programs. Returns exit code, output, errors and seconds."""

    def run(*programs, delay=0.0):
        script = tmp_path / "stand_in.py"
        script.write_text(STAND_IN)
        command = [sys.executable, str(script), str(tmp_path), str(delay), *programs]
        monkeypatch.setattr(supervisor, "_msrun", lambda *_: command)
        capfdbinary.readouterr()
        started = time.monotonic()
        code = supervisor.supervise(JOB, ["train.py"], tmp_path)
        seconds = time.monotonic() - started
        left = [
            child for child in psutil.Process().children(recursive=True) if str(tmp_path) in " ".join(child.cmdline())
        ]
        assert not left
        out, err = (text.decode() for text in capfdbinary.readouterr())
        return code, out, err, seconds

    return run


def soon(seconds, action):
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def test_a_job_that_ends_well_shows_worker_0(supervise):
    code, out, err, _ = supervise(LEAVE, WELL, "print('from another')")
    assert (code, out, err) == (0, "hello from a worker\n", "")


def test_when_a_worker_fails_nobody_waits_for_the_scheduler(supervise):
    code, _, err, seconds = supervise(LINGER, LINGER, FAIL)
    assert code == 1
    assert "error: worker 1 failed; the end of" in err
    assert "ValueError: broken" in err
    assert seconds < 8


def test_a_worker_that_was_killed_is_named(supervise):
    code, _, err, seconds = supervise(LINGER, "import os, time; time.sleep(1); os.kill(os.getpid(), 9)", LINGER)
    assert code == 1
    assert "error: worker 0 was killed by SIGKILL" in err
    assert seconds < 8


def test_a_sentence_that_the_screen_has_shown_is_not_repeated(supervise):
    mistake = "import sys; print('error: no data'); sys.exit(2)"
    code, out, err, _ = supervise(LINGER, mistake, LINGER)
    assert (code, out, err) == (2, "error: no data\n", "")
    code, out, err, _ = supervise(LINGER, LINGER, mistake)
    assert (code, out, err) == (2, "", "error: no data\n")


def test_a_scheduler_that_fails_ends_the_workers(supervise):
    code, _, err, seconds = supervise(
        "raise RuntimeError('Failed to initialize distributed job cluster')", LINGER, LINGER
    )
    assert code == 1
    assert "error: not all of the 2 workers joined within 60 s" in err
    assert seconds < 8


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_passed_on_and_waited_for(supervise, number):
    soon(1.0, lambda: os.kill(os.getpid(), number))
    code, out, err, seconds = supervise(LEAVE, STOP, STOP)
    assert (code, out, err) == (130, "ready\nkept a state\n", "the job was stopped\n")
    assert seconds < 8


def test_a_job_that_a_signal_finds_at_its_end_has_ended_well(supervise):
    soon(0.5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    finishes = STOP.replace("130", "0")
    code, _, err, _ = supervise(LEAVE, finishes, finishes)
    assert (code, err) == (0, "")


def test_what_fails_while_a_job_stops_is_told(supervise):
    soon(0.5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    fails = STOP.replace('print("kept a state"), sys.exit(130)', 'print("error: the disk is full"), sys.exit(2)')
    code, out, _, _ = supervise(LEAVE, fails, DEAF)
    assert code == 2
    assert "error: the disk is full" in out


def test_a_signal_before_there_are_workers_reaches_them(supervise):
    soon(0.3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    code, _, _, seconds = supervise(LEAVE, LINGER, LINGER, delay=1.0)
    assert code == 130
    assert seconds < 8


def test_a_second_signal_kills(supervise):
    for seconds in (1.0, 1.5):
        soon(seconds, lambda: os.kill(os.getpid(), signal.SIGTERM))
    code, _, _, seconds = supervise(LINGER, DEAF, DEAF)
    assert code == 130
    assert seconds < 8


def test_what_nohup_ignores_stays_ignored(supervise, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        soon(0.5, lambda: os.kill(os.getpid(), signal.SIGHUP))
        code, _, _, _ = supervise(LEAVE, "import time; time.sleep(1)", LEAVE)
        assert code == 0
    finally:
        signal.signal(signal.SIGHUP, before)
