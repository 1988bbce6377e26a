"""The reason why a job failed, from the logs and exit codes of its processes."""

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from mindvit.launch.job import Job

_SHOWN_LINES = 15
"""Lines of a log that an error message shows."""
# Texts that MindSpore writes to the logs.
_JOIN_TIMED_OUT = "Failed to initialize distributed job cluster"
_CONNECTION_LOST = (
    "The state of the cluster is error",
    "TCP connection between the scheduler",
    "number of timed out node",
)
_FIRST_TIMED_OUT = re.compile(r"worker (\d+) is the first one timed out")
_RANK_FAILED = re.compile(r"Worker process (\d+) exit with exception. Error code: (-?\d+)")


def exit_codes(logs: Path) -> dict[int, int]:
    """The exit codes of the failed ranks that ``msrun`` reported, by process id; negative for a signal."""
    return {int(pid): int(code) for pid, code in _RANK_FAILED.findall(_text(logs / "msrun.log"))}


def explain(job: Job, logs: Path, died: Sequence[tuple[int, int | None]], scheduler_code: int | None = None) -> str:
    """The reason why a job ended, in one or a few sentences.

    Args:
        job: the job.
        logs: folder of its logs.
        died: the ranks that ended, in the order of their ends: each rank with its exit code, or None if ``msrun`` has
            not reported it.
        scheduler_code: exit code of the scheduler if it failed, negative for a signal.
    """
    # Ranks that ended within one poll have no known order. msrun reports the code of the one that failed by itself.
    died = sorted(died, key=lambda item: item[1] is None)
    local_ranks = range(job.first_rank, job.first_rank + job.ranks_per_node)
    ranks = [rank for rank, _ in died] or list(local_ranks)  # The end of a short-lived rank may not have been seen.
    texts = {rank: _text(logs / f"worker_{rank}.log") for rank in ranks}
    for text in texts.values():
        message = re.search(r"^error: (.*)", text, re.MULTILINE)
        if message:
            return message[1]
    if died and "Traceback" not in texts[ranks[0]]:
        return f"rank {ranks[0]} {_cause(died[0][1])}; its log is {logs / f'worker_{ranks[0]}.log'}"
    if scheduler_code is not None and scheduler_code < 0:
        return (
            f"the scheduler {_cause(scheduler_code)}, and the ranks cannot continue without it; start the job again, "
            f"training with --resume auto; its log is {logs / 'scheduler.log'}"
        )
    scheduler = _text(logs / "scheduler.log")
    contents = [*texts.values(), scheduler]
    if any(_JOIN_TIMED_OUT in text for text in contents):
        return (
            f"not all of the {job.world_size} ranks joined the job within {job.join_timeout} s (JOIN_TIMEOUT) at "
            f"{job.master_addr}:{job.master_port}. Start the same command on each of the {job.num_nodes} nodes with "
            "its own NODE_RANK and the same NPROC, NNODES, MASTER_ADDR and MASTER_PORT, and check that the port is not "
            f"blocked or used by another job; logs in {logs}"
        )
    if any(lost in text for lost in _CONNECTION_LOST for text in contents):
        found = _FIRST_TIMED_OUT.search(scheduler)
        name = f"rank {found[1]}" if found else "a rank or the scheduler of another node"
        return f"{name} has not responded for half a minute; it ended, or its node cannot be reached: see its log"
    for rank, text in texts.items():
        if "Traceback" in text:
            return f"rank {rank} failed; {_end(logs / f'worker_{rank}.log')}"
    if scheduler_code is not None:
        return f"the scheduler {_cause(scheduler_code)}; {_end(logs / 'scheduler.log')}"
    return f"the job failed; {_end(logs / 'msrun.log')}"


def _cause(code: int | None) -> str:
    if code is None or code >= 0:
        return "ended without an error message" if code is None else f"ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = " (the system does this when memory runs out: see dmesg)" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"


def _end(log: Path) -> str:
    return "\n".join([f"the end of {log}:", *_text(log).splitlines()[-_SHOWN_LINES:]])


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
