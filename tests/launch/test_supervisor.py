"""Tests the supervisor with a fake msrun, which handles its processes as the real one was observed to do."""

import os
import signal
import sys
import threading
import time

import psutil
import pytest

from mindvit.launch import supervisor
from mindvit.launch.job import Job

FAKE_MSRUN = """
import os, signal, subprocess, sys, time
from pathlib import Path

logs, delay, *programs = sys.argv[1:]
time.sleep(float(delay))


def start(role, rank, program):
    name = "scheduler" if role == "MS_SCHED" else f"worker_{rank}"
    environment = {**os.environ, "MS_ROLE": role, "RANK_ID": str(rank)}
    with open(Path(logs) / f"{name}.log", "w") as log:
        return subprocess.Popen(
            [sys.executable, "-u", "-c", program], env=environment, stdout=log, stderr=log, preexec_fn=os.setsid
        )


scheduler = start("MS_SCHED", 0, programs[0])
ranks = [start("MS_WORKER", rank, program) for rank, program in enumerate(programs[1:])]
while any(process.poll() is None for process in ranks):
    failed = [process for process in ranks if process.poll()]
    if failed:
        break
    time.sleep(0.05)
failed = [process for process in ranks if process.poll()]
if failed:
    print(f"Worker process {failed[0].pid} exit with exception. Error code: {failed[0].returncode}.", flush=True)
    time.sleep(0.5)
    for process in ranks:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
scheduler.wait()
sys.exit(bool(failed) or scheduler.returncode != 0)
"""
JOB = Job(2, 1, 0, "127.0.0.1", 8118, 60, False)
WAIT, EXIT = "import time; time.sleep(60)", "pass"
IGNORE_SIGTERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready")
time.sleep(60)
"""
FAIL = "raise ValueError('broken')"
SUCCEED = "print('hello from rank 0')"
STOP_ON_SIGTERM = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("saved a checkpoint"), sys.exit(130)))
print("ready")
time.sleep(60)
"""


pytestmark = pytest.mark.usefixtures("default_signal_handling")


@pytest.fixture
def supervise(monkeypatch, tmp_path, capfdbinary):
    """Supervises a scheduler and ranks, given as programs. Returns exit code, output, errors and seconds."""

    def run(*programs, delay=0.0):
        script = tmp_path / "fake_msrun.py"
        script.write_text(FAKE_MSRUN)
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


def send_signal_after(seconds, number):
    """Sends this process a signal after some seconds."""
    threading.Timer(seconds, lambda: os.kill(os.getpid(), number)).start()


@pytest.fixture
def send_signals_when_ready(tmp_path):
    """Sends this process signals, half a second apart, as soon as both ranks have printed "ready"."""
    logs = [tmp_path / f"worker_{rank}.log" for rank in (0, 1)]

    def send(*numbers):
        end = time.monotonic() + 60
        while not all(log.exists() and "ready" in log.read_text() for log in logs):
            if time.monotonic() > end:
                return
            time.sleep(0.05)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.5)

    return lambda *numbers: threading.Thread(target=send, args=numbers, daemon=True).start()


def test_a_successful_job_shows_the_output_of_rank_0(supervise):
    code, out, err, _ = supervise(EXIT, SUCCEED, "print('hello from rank 1')")
    assert (code, out, err) == (0, "hello from rank 0\n", "")


def test_a_failed_rank_ends_the_job_without_waiting_for_the_scheduler(supervise):
    code, _, err, seconds = supervise(WAIT, WAIT, FAIL)
    assert code == 1
    assert "error: rank 1 failed; the end of" in err
    assert "ValueError: broken" in err
    assert seconds < 8


@pytest.mark.slow
def test_a_killed_rank_is_named(supervise):
    code, _, err, seconds = supervise(WAIT, "import os, time; time.sleep(1); os.kill(os.getpid(), 9)", WAIT)
    assert code == 1
    assert "error: rank 0 was killed by SIGKILL" in err
    assert seconds < 8


@pytest.mark.slow
def test_an_error_that_the_screen_has_shown_is_not_repeated(supervise):
    mistake = "import sys; print('error: no data'); sys.exit(2)"
    code, out, err, _ = supervise(WAIT, mistake, WAIT)
    assert (code, out, err) == (2, "error: no data\n", "")
    code, out, err, _ = supervise(WAIT, WAIT, mistake)
    assert (code, out, err) == (2, "", "error: no data\n")


@pytest.mark.slow
def test_a_failed_scheduler_ends_the_ranks(supervise):
    code, _, err, seconds = supervise("raise RuntimeError('Failed to initialize distributed job cluster')", WAIT, WAIT)
    assert code == 1
    assert "error: not all of the 2 ranks joined the job within 60 s" in err
    assert seconds < 8


@pytest.mark.slow
def test_a_killed_scheduler_ends_the_job_with_the_reason(supervise):
    killed = "import os, time; time.sleep(0.8); os.kill(os.getpid(), 9)"
    code, _, err, seconds = supervise(killed, WAIT, WAIT)
    assert code == 1
    assert "error: the scheduler was killed by SIGKILL" in err
    assert seconds < 9


@pytest.mark.slow
def test_a_scheduler_that_ends_normally_before_the_ranks_is_no_failure(supervise):
    code, out, err, _ = supervise(EXIT, "import time; time.sleep(1.5); print('done')", EXIT)
    assert (code, out, err) == (0, "done\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_ranks_after_their_step(supervise, send_signals_when_ready, number):
    send_signals_when_ready(number)
    code, out, err, seconds = supervise(EXIT, STOP_ON_SIGTERM, STOP_ON_SIGTERM)
    assert (code, out, err) == (130, "ready\nsaved a checkpoint\n", "the job was stopped\n")
    assert seconds < 8


def test_a_job_that_finishes_despite_a_signal_succeeds(supervise, send_signals_when_ready):
    send_signals_when_ready(signal.SIGTERM)
    finishes = STOP_ON_SIGTERM.replace("130", "0")
    code, _, err, _ = supervise(EXIT, finishes, finishes)
    assert (code, err) == (0, "")


def test_an_error_while_the_job_stops_is_reported(supervise, send_signals_when_ready):
    send_signals_when_ready(signal.SIGTERM)
    fails = STOP_ON_SIGTERM.replace("saved a checkpoint", "error: the disk is full").replace("130", "2")
    code, out, _, _ = supervise(EXIT, fails, IGNORE_SIGTERM)
    assert code == 2
    assert "error: the disk is full" in out


@pytest.mark.slow
def test_a_signal_before_the_start_of_the_ranks_stops_them(supervise):
    send_signal_after(0.3, signal.SIGTERM)
    code, _, _, seconds = supervise(EXIT, WAIT, WAIT, delay=1.0)
    assert code == 130
    assert seconds < 8


def test_a_second_signal_kills_the_ranks(supervise, send_signals_when_ready):
    send_signals_when_ready(signal.SIGTERM, signal.SIGTERM)
    code, _, _, seconds = supervise(WAIT, IGNORE_SIGTERM, IGNORE_SIGTERM)
    assert code == 130
    assert seconds < 8


def test_a_terminal_that_closes_does_not_kill_ranks_that_still_save():
    """A terminal that closes may send SIGHUP several times."""
    sent = []

    class Processes:
        def send_signal(self, number):
            sent.append(number)

        def kill(self):
            sent.append("kill")

    stop = supervisor._StopOnSignal(Processes())
    with stop:
        for number in (signal.SIGHUP, signal.SIGHUP):
            signal.raise_signal(number)
        assert sent == [signal.SIGTERM]
        signal.raise_signal(signal.SIGINT)
        assert sent == [signal.SIGTERM, "kill"]


def test_an_ignored_signal_stays_ignored(supervise):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        send_signal_after(0.5, signal.SIGHUP)
        code, _, _, _ = supervise(EXIT, "import time; time.sleep(1)", EXIT)
        assert code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ranks_share_the_cores_of_their_node_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setattr(supervisor.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [supervisor._environment(ranks)["OMP_NUM_THREADS"] for ranks in (1, 3, 16)] == ["8", "2", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert supervisor._environment(3)["OMP_NUM_THREADS"] == "5"
