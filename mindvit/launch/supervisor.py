"""Supervises the processes of a job on one node. No process outlives the job, whatever ends it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType

import psutil

from mindvit.errors import STOPPED_BY_USER
from mindvit.launch.failure import exit_codes, explain
from mindvit.launch.job import Job
from mindvit.parent_death import end_with_parent, name_launcher

_POLL_SECONDS = 0.2
"""Time between two checks of the processes."""
_GRACE_SECONDS = 5.0
"""Time that msrun has to end the other ranks after one has failed."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def supervise(job: Job, command: list[str], logs: Path) -> int:
    """Runs a command on all ranks of this node, and waits until the job ends. The output of rank 0 is on the screen.

    Ctrl-C, SIGTERM or SIGHUP stops all ranks at the end of their step (see ``StopOnSignal``); a second signal kills
    them. If a rank fails, ``msrun`` ends the other ranks within a second or two. The supervisor ends the scheduler,
    which would otherwise wait for another half a minute.

    Args:
        job: the job.
        command: the program and its arguments.
        logs: folder for the logs of the ranks, of the scheduler and of ``msrun``.

    Returns:
        The exit code: 0; that of the first rank that failed, or 1 if a signal killed it; or 130 if the job was stopped.
    """
    with open(logs / "msrun.log", "wb") as log:
        msrun = subprocess.Popen(
            _msrun(job, command, logs),
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(job.ranks_per_node),
            start_new_session=True,
            preexec_fn=partial(end_with_parent, signal.SIGKILL, os.getpid()),
        )
    processes = _Processes(msrun.pid, logs)
    screen = _Screen(logs / "worker_0.log" if job.node_rank == 0 else None)
    stop = _StopOnSignal(processes)
    try:
        with stop:
            while msrun.poll() is None:
                time.sleep(_POLL_SECONDS)
                processes.update()
                screen.update()
    finally:
        processes.kill()
        msrun.kill()
        msrun.wait()
        screen.update()
    if msrun.returncode == 0:
        return 0
    codes = exit_codes(logs)
    by_signal = {-signal.SIGTERM, -signal.SIGKILL} if stop.received else set()
    if set(codes.values()) <= {STOPPED_BY_USER} | by_signal and (codes or stop.received):
        print("the job was stopped", file=sys.stderr)
        return STOPPED_BY_USER
    died = [(processes.ranks[process], codes.get(process.pid)) for process in processes.died]
    message = f"error: {explain(job, logs, died, processes.scheduler_code)}"
    if not screen.has_shown(message):
        print(message, file=sys.stderr)
    return max([1, *codes.values()])


def _msrun(job: Job, command: list[str], logs: Path) -> list[str]:
    options = {
        "worker_num": job.world_size,
        "local_worker_num": job.ranks_per_node,
        "master_addr": job.master_addr,
        "master_port": job.master_port,
        "node_rank": job.node_rank,
        "log_dir": logs,
        "join": True,
        "cluster_time_out": job.join_timeout,
        "bind_core": job.bind_cores,
        "tail_worker_log": job.world_size,  # Not a rank, so msrun shows no log: _Screen shows that of rank 0.
    }
    python = [sys.executable, "-m", "mindspore.parallel.cluster.run"]
    return [*python, *(f"--{name}={value}" for name, value in options.items()), *command]


def _environment(ranks_per_node: int) -> dict[str, str]:
    environment = {**name_launcher(), "PYTHONUNBUFFERED": "1"}
    # Otherwise the native kernels of each rank would use a thread for each core.
    environment.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // ranks_per_node)))
    # The command of the ranks is "python", which msrun looks up on the PATH.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    if sys.stdout.isatty():
        size = shutil.get_terminal_size()
        environment |= {"MINDVIT_ON_SCREEN": "1", "COLUMNS": str(size.columns), "LINES": str(size.lines)}
    return environment


class _Processes:
    """The processes that ``msrun`` started: the scheduler and the ranks of this node.

    Args:
        msrun: process id of ``msrun``.
        logs: folder of the logs.
    """

    def __init__(self, msrun: int, logs: Path) -> None:
        self.msrun = psutil.Process(msrun)
        self.logs = logs
        self.ranks: dict[psutil.Process, int] = {}
        """The rank of each process."""
        self.died: list[psutil.Process] = []
        """The ranks that ended before any failure was detected, in the order of their ends."""
        self.scheduler: psutil.Process | None = None
        self.scheduler_code: int | None = None
        """The exit code of the scheduler if it failed, negative for a signal."""
        self._sent: signal.Signals | None = None
        self._failed_at: float | None = None

    def update(self) -> None:
        """Records which processes have started and ended.

        After a failure it kills the processes that are left, once the ranks have ended or their grace period is over.
        """
        with suppress(psutil.NoSuchProcess):
            for child in self.msrun.children():
                if child not in self.ranks and child != self.scheduler:
                    self._add(child)
        if self._failed_at is None:
            self.died += [process for process in self.ranks if process not in self.died and not _is_running(process)]
            if exit_codes(self.logs) or self._scheduler_failed():
                self._failed_at = time.monotonic()
                if self.scheduler_code is not None and self.scheduler_code < 0:
                    self.kill()  # The ranks would wait for it, and have no error of their own to write.
        elif not any(map(_is_running, self.ranks)) or time.monotonic() - self._failed_at > _GRACE_SECONDS:
            self.kill()

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal to all ranks, also to those that start later."""
        self._sent = number
        for process in self.ranks:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """Kills all processes except ``msrun``, which then ends."""
        for process in filter(None, (*self.ranks, self.scheduler)):
            with suppress(psutil.NoSuchProcess):
                for member in (*process.children(recursive=True), process):
                    member.kill()

    def _add(self, child: psutil.Process) -> None:
        with suppress(psutil.Error):
            environment = child.environ()
            if environment.get("MS_ROLE") == "MS_SCHED":
                self.scheduler = child
            elif environment.get("MS_ROLE") == "MS_WORKER":
                self.ranks[child] = int(environment["RANK_ID"])
                if self._sent is not None:
                    child.send_signal(self._sent)

    def _scheduler_failed(self) -> bool:
        """Whether the scheduler ended with an error or was killed, which ``msrun`` ignores while ranks are running.

        The ranks notice it only after a minute.
        """
        if self.scheduler is not None and _is_running(self.scheduler):
            return False
        if self.scheduler is not None and (code := _exit_code(self.scheduler)):
            self.scheduler_code = code
            return True
        log = self.logs / "scheduler.log"  # The end of a short-lived scheduler may not have been seen.
        return log.exists() and "Traceback" in log.read_text(encoding="utf-8", errors="replace")


class _Screen:
    """Copies a log to standard output while it grows.

    Args:
        log: the file; None copies nothing.
    """

    def __init__(self, log: Path | None) -> None:
        self.log = log
        self._position = 0

    def update(self) -> None:
        """Copies what was added since the last call."""
        if self.log is None or not self.log.exists():
            return
        with open(self.log, "rb") as file:
            file.seek(self._position)
            new = file.read()
        self._position += len(new)
        # MindSpore logs these lines at the end of a job at any log level.
        sys.stdout.buffer.write(re.sub(rb"^\[INFO\] DISTRIBUTED.*\n", b"", new, flags=re.MULTILINE))
        sys.stdout.buffer.flush()

    def has_shown(self, line: str) -> bool:
        """Whether the log contains a line."""
        return self.log is not None and line in self.log.read_text(encoding="utf-8", errors="replace").splitlines()


class _StopOnSignal:
    """Forwards a signal to the ranks, which then finish their step and stop. A second signal kills them."""

    def __init__(self, processes: _Processes) -> None:
        self.processes = processes
        self.received: signal.Signals | None = None

    def __enter__(self) -> None:
        # A signal that the parent process ignores stays ignored, as under nohup.
        handled = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        self._replaced = {number: signal.signal(number, self._receive) for number in handled}

    def __exit__(self, *error: object) -> None:
        for number, handler in self._replaced.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self.received:
            self.processes.send_signal(signal.SIGTERM)
        elif number != signal.SIGHUP:  # A terminal that closes may send several.
            self.processes.kill()
        self.received = signal.Signals(number)


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _exit_code(process: psutil.Process) -> int | None:
    """The exit code of a process that ended and whose parent, another process, has not asked for it; Linux only.

    It is negative for a signal, and None if it is not known.
    """
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name of the program, in parentheses, may have spaces. The exit code is field 52, the one after it field 3.
    state, *fields = stat.rpartition(")")[2].split()
    return os.waitstatus_to_exitcode(int(fields[48])) if state == "Z" else None
