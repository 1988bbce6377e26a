"""Answers the requests of the command benchmark: one line of JSON each, on standard input and output.

It imports nothing of MindSpore, so that PyTorch may be in an environment of its own.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class Task(Protocol):
    """What is measured."""

    facts: dict[str, Any]
    """What is known about it before it runs: versions, threads."""
    images: int
    """Images of a step."""

    def step(self) -> float | None:
        """Computes once, and waits for the result. Returns the seconds that count, None if all do."""


def serve(make_task: Callable[[dict[str, Any]], Task]) -> None:
    """Makes a task of the first line, and does what the following lines ask for until standard input ends.

    Requests and their answers:

    - the first line, the job: ``facts`` and ``images`` of the task, ``setup_seconds``, and ``first_seconds`` of its
      first step;
    - ``{"do": "measure", "steps": n}``: ``seconds`` of n steps together;
    - ``{"do": "memory"}``: ``peak_bytes``, the peak memory of the process so far;
    - ``{"do": NAME, …}``: what the method NAME of the task returns.

    An exception is answered by ``error``, and ends the process. What libraries print goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        lines = iter(sys.stdin.readline, "")
        job = json.loads(next(lines))
        _use_cores(job["threads"])
        started = time.perf_counter()
        task = make_task(job)
        ready = time.perf_counter()
        task.step()
        first = time.perf_counter() - ready
        _answer(
            answers,
            {
                "facts": task.facts,
                "images": task.images,
                "setup_seconds": ready - started,
                "first_seconds": first,
            },
        )
        for line in lines:
            request = json.loads(line)
            _answer(answers, _answer_of(task, request.pop("do"), request))
    except Exception as error:  # Libraries raise any type.
        _answer(answers, {"error": f"{type(error).__name__}: {error}", "is_user_error": _is_user_error(error)})
        raise


def _answer_of(task: Task, action: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if action == "measure":
        return {"seconds": sum(_timed(task) for _ in range(arguments["steps"]))}
    if action == "memory":
        return {"peak_bytes": peak_memory()}
    return getattr(task, action)(**arguments)


def _timed(task: Task) -> float:
    started = time.perf_counter()
    seconds = task.step()
    return time.perf_counter() - started if seconds is None else seconds


def _use_cores(count: int) -> None:
    """Lets this process use so many of its cores. Libraries that are imported later make as many threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def peak_memory() -> int:
    """Peak resident memory of this process in bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024
    except (OSError, StopIteration):  # No Linux.
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _answer(answers: Any, content: dict[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


def _is_user_error(error: Exception) -> bool:
    return any(kind.__name__ == "UserError" for kind in type(error).__mro__)
