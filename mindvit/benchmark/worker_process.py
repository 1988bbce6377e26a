"""A process that measures one contestant, and the requests to it."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from mindvit.errors import UserError

Framework = Literal["mindspore", "torch", "onnxruntime"]

_POOL = re.compile(r"actual peak used mem:(\d+)M")
_LAST_LINES = 15
_SECONDS_TO_END = 60


class WorkerProcess:
    """Starts a process that makes a task, and asks it to measure.

    Each contestant has a process of its own, so that peak memory is its own, and libraries with their own OpenMP do not
    disturb each other. A process that is not asked does nothing.

    Args:
        framework: what the task is computed with.
        job: the task: see ``make_task`` of the framework in ``mindvit.benchmark_worker``. ``threads`` is the number of
            threads, and of cores that the process may use.
        python: interpreter; None is that of this process.
        environment: variables of the process, beside those of this one.
    """

    def __init__(
        self,
        framework: Framework,
        job: dict[str, Any],
        python: str | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = job.get("contestant", framework)
        self._log = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        own = {**os.environ, "OMP_NUM_THREADS": str(job["threads"]), "PYTHONUNBUFFERED": "1", **(environment or {})}
        own.setdefault("GLOG_v", "3")
        own["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), own.get("PYTHONPATH"))))
        if framework == "mindspore":
            own["MS_DEV_RUNTIME_CONF"] = "memory_statistics:True"
        command = [python or sys.executable, "-m", "mindvit.benchmark_worker", framework, str(os.getpid())]
        try:
            self._process = subprocess.Popen(
                command, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
            )
        except OSError as error:
            raise UserError(f"cannot start {command[0]}: {error.strerror}") from error
        self._send(job)
        self.started = self._answer()
        """``facts``, ``setup_seconds`` and ``first_seconds``."""

    def ask(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Asks for something, and waits for the answer.

        Raises:
            UserError: if the process fails.
        """
        self._send({"do": action, **arguments})
        return self._answer()

    def finish(self) -> int | None:
        """Ends the process. Returns the peak of MindSpore's memory pool in bytes, None for another library."""
        self._process.stdin.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._log.seek(0)
        found = _POOL.findall(self._log.read())
        return int(found[-1]) * 2**20 if found else None

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _send(self, content: dict[str, Any]) -> None:
        try:
            self._process.stdin.write(json.dumps(content) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # The answer says why.

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": self._last_words()}
        if "error" in answer:
            self._process.kill()
            self._process.wait()
            raise UserError(answer["error"] if answer.get("is_user_error") else f"{self.name}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().splitlines() if line.strip()][-_LAST_LINES:]
        told = f"; it wrote: {' / '.join(lines)}" if lines else ""
        reason = " (killed, perhaps for want of memory)" if code == -9 else ""
        return f"the process ended with code {code}{reason}{told}"
