"""Why a job failed, from what its workers left."""

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from mindvit.launch.job import Job

_SHOWN = 15
"""Lines of a log on the screen."""
_NEVER_MET = "Failed to initialize distributed job cluster"
_LOST = ("The state of the cluster is error", "TCP connection between the scheduler", "number of timed out node")
_MSRUN_SAYS = re.compile(r"Worker process (\d+) exit with exception. Error code: (-?\d+)")


def exit_codes(logs: Path) -> dict[int, int]:
    """The exit code of the worker that ``msrun`` saw fail, by its process id; negative for a signal."""
    return {int(pid): int(code) for pid, code in _MSRUN_SAYS.findall(_text(logs / "msrun.log"))}


def explain(job: Job, logs: Path, died: Sequence[tuple[int, int | None]]) -> str:
    """One or a few sentences on what ended a job.

    Args:
        job: the job.
        logs: the folder of its logs.
        died: the workers that ended, first ones first: their numbers and, where known, their exit codes.
    """
    local = range(job.first_rank, job.first_rank + job.ranks_per_node)
    ranks = [rank for rank, _ in died] or list(local)  # One that ended at once may not have been seen at all.
    texts = {rank: _text(logs / f"worker_{rank}.log") for rank in ranks}
    for text in texts.values():
        sentence = re.search(r"^error: (.*)", text, re.MULTILINE)
        if sentence:
            return sentence[1]
    if died and "Traceback" not in texts[ranks[0]]:
        return f"worker {ranks[0]} {_cause(died[0][1])}; its log is {logs / f'worker_{ranks[0]}.log'}"
    scheduler = _text(logs / "scheduler.log")
    said = [*texts.values(), scheduler]
    if any(_NEVER_MET in text for text in said):
        return (
            f"not all of the {job.world_size} workers joined within {job.join_timeout} s (JOIN_TIMEOUT) at "
            f"{job.master_addr}:{job.master_port}. Start the same command on each of the {job.num_nodes} servers with its "
            "own NODE_RANK and the same NPROC, NNODES, MASTER_ADDR and MASTER_PORT, and see that the port is not "
            f"blocked or used by another job; logs in {logs}"
        )
    if any(lost in text for lost in _LOST for text in said):
        gone = re.search(r"worker (\d+) is the first one timed out", scheduler)
        who = f"worker {gone[1]}" if gone else "a worker or the scheduler of another server"
        return f"{who} has not been heard of for half a minute; it ended, or its server cannot be reached: see its log"
    for rank, text in texts.items():
        if "Traceback" in text:
            return f"worker {rank} failed; {_end(logs / f'worker_{rank}.log')}"
    return f"the job failed; {_end(logs / 'msrun.log')}"


def _cause(code: int | None) -> str:
    if code is None or code >= 0:
        return "ended without a word" if code is None else f"ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = " (so does the system where memory runs out: see dmesg)" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"


def _end(log: Path) -> str:
    return "\n".join([f"the end of {log}:", *_text(log).splitlines()[-_SHOWN:]])


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
