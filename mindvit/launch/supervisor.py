"""Watching over a job's processes on one server: none of them outlives it, whatever ends it."""

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
from mindvit.distributed import end_with_parent
from mindvit.launch.failure import exit_codes, explain
from mindvit.launch.job import Job

_TICK = 0.2
"""Seconds between two looks at the processes."""
_PATIENCE = 5.0
"""Seconds that msrun has for ending the other workers after one has failed."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def supervise(job: Job, command: list[str], logs: Path) -> int:
    """Runs a command as the workers of a job, worker 0 on the screen, and waits for its end.

    Ctrl-C, SIGTERM or SIGHUP lets all workers finish their step (see ``StopOnSignal``); a second one kills them. When a
    worker fails, ``msrun`` ends the others within a second or two; its scheduler, which would wait for half a
    minute more, is ended here.

    Args:
        job: the job.
        command: the program and its arguments.
        logs: folder for the logs of the workers, of the scheduler and of ``msrun``.

    Returns:
        The exit code: 0, or that of the worker that failed first, 1 where a signal killed it, or 130 after a stop.
    """
    with open(logs / "msrun.log", "wb") as log:
        msrun = subprocess.Popen(
            _msrun(job, command, logs),
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,
            preexec_fn=partial(end_with_parent, signal.SIGKILL),
        )
    watch = _Watch(msrun.pid, logs)
    screen = _Screen(logs / "worker_0.log" if job.node_rank == 0 else None)
    stop = _Stop(watch)
    try:
        with stop:
            while msrun.poll() is None:
                time.sleep(_TICK)
                watch.look()
                screen.follow()
    finally:
        watch.kill()
        msrun.kill()
        msrun.wait()
        screen.follow()
    if msrun.returncode == 0:
        return 0
    codes = exit_codes(logs)
    by_signal = {-signal.SIGTERM, -signal.SIGKILL} if stop.received else set()
    if set(codes.values()) <= {STOPPED_BY_USER} | by_signal and (codes or stop.received):
        print("the job was stopped", file=sys.stderr)
        return STOPPED_BY_USER
    died = [(watch.ranks[process], codes.get(process.pid)) for process in watch.died]
    sentence = f"error: {explain(job, logs, died)}"
    if not screen.has_shown(sentence):
        print(sentence, file=sys.stderr)
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
        "tail_worker_log": job.world_size,  # No worker's number: the screen is served here, which ends in order.
    }
    python = [sys.executable, "-m", "mindspore.parallel.cluster.run"]
    return [*python, *(f"--{name}={value}" for name, value in options.items()), *command]


def _environment() -> dict[str, str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # msrun starts its workers as "python", whichever that is on the PATH.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    if sys.stdout.isatty():
        size = shutil.get_terminal_size()
        environment |= {"MINDVIT_ON_SCREEN": "1", "COLUMNS": str(size.columns), "LINES": str(size.lines)}
    return environment


class _Watch:
    """The processes that ``msrun`` started: its scheduler and this server's workers.

    Args:
        msrun: its process id.
        logs: the folder of their logs.
    """

    def __init__(self, msrun: int, logs: Path) -> None:
        self.msrun = psutil.Process(msrun)
        self.logs = logs
        self.ranks: dict[psutil.Process, int] = {}
        """The number of each."""
        self.died: list[psutil.Process] = []
        """The workers that ended by themselves, first ones first."""
        self.scheduler: psutil.Process | None = None
        self._told: signal.Signals | None = None
        self._failed_at: float | None = None

    def look(self) -> None:
        """Takes note of new processes and of those that ended; after a failure, sees to it that all do."""
        with suppress(psutil.NoSuchProcess):
            for child in self.msrun.children():
                if child not in self.ranks and child != self.scheduler:
                    self._enter(child)
        if self._failed_at is None:
            self.died += [process for process in self.ranks if process not in self.died and not _is_running(process)]
            if exit_codes(self.logs) or self._scheduler_failed():
                self._failed_at = time.monotonic()
        elif not any(map(_is_running, self.ranks)) or time.monotonic() - self._failed_at > _PATIENCE:
            self.kill()

    def tell(self, number: signal.Signals) -> None:
        """Sends the workers a signal, also those that are still to come."""
        self._told = number
        for process in self.ranks:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """Kills what still runs, but for ``msrun``, which then ends by itself."""
        for process in filter(None, (*self.ranks, self.scheduler)):
            with suppress(psutil.NoSuchProcess):
                for one in (*process.children(recursive=True), process):
                    one.kill()

    def _enter(self, child: psutil.Process) -> None:
        with suppress(psutil.Error):
            environment = child.environ()
            if environment.get("MS_ROLE") == "MS_SCHED":
                self.scheduler = child
            elif environment.get("MS_ROLE") == "MS_WORKER":
                self.ranks[child] = int(environment["RANK_ID"])
                if self._told is not None:
                    child.send_signal(self._told)

    def _scheduler_failed(self) -> bool:
        """Whether the scheduler ended in an error, of which ``msrun`` takes no notice while workers run."""
        log = self.logs / "scheduler.log"
        if not log.exists() or (self.scheduler is not None and _is_running(self.scheduler)):
            return False
        return "Traceback" in log.read_text(encoding="utf-8", errors="replace")


class _Screen:
    """Shows on standard output what is added to a log.

    Args:
        log: the file; None shows nothing.
    """

    def __init__(self, log: Path | None) -> None:
        self.log = log
        self._position = 0

    def follow(self) -> None:
        """Shows what is new."""
        if self.log is None or not self.log.exists():
            return
        with open(self.log, "rb") as file:
            file.seek(self._position)
            new = file.read()
        self._position += len(new)
        # MindSpore's network says on leaving that it is well, whatever the log level.
        sys.stdout.buffer.write(re.sub(rb"^\[INFO\] DISTRIBUTED.*\n", b"", new, flags=re.MULTILINE))
        sys.stdout.buffer.flush()

    def has_shown(self, line: str) -> bool:
        """Whether a line was among it."""
        return self.log is not None and line in self.log.read_text(encoding="utf-8", errors="replace").splitlines()


class _Stop:
    """Passes a signal on to the workers, which finish their step; at the second one kills them."""

    def __init__(self, watch: _Watch) -> None:
        self.watch = watch
        self.received: signal.Signals | None = None

    def __enter__(self) -> None:
        # One that is ignored stays so: nohup means it.
        heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        self._replaced = {number: signal.signal(number, self._receive) for number in heard}

    def __exit__(self, *error: object) -> None:
        for number, handler in self._replaced.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            self.watch.kill()
        else:
            self.watch.tell(signal.SIGTERM)
        self.received = signal.Signals(number)


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
