"""Runs targets in a worker process, starts it again if it dies, and keeps what it finds."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_UNBOUNDED = 10**9
_WORKER = (sys.executable, "-m", "tests.fuzz.worker")


def _fast_folder():
    """A folder in memory if there is one with space, because each case writes and deletes files; else None."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30 else None


@dataclass
class Counts:
    """What a target did."""

    accepted: int = 0
    refused: int = 0
    num_findings: int = 0
    findings: dict[str, str] = field(default_factory=dict)
    """The first traceback of each place in the code."""
    slowest: float = 0.0
    """Time of the slowest case, in seconds."""

    @property
    def cases(self):
        return self.accepted + self.refused + self.num_findings


@dataclass
class Campaign:
    """A run of the harness.

    Args:
        targets: number of blocks by target.
        seed: together with the number of a block it determines the cases.
        seconds: time for all targets together, which replaces the number of blocks; None: no limit.
        folder: folder for the findings.
    """

    targets: dict[str, int]
    seed: int = 0
    seconds: float | None = None
    folder: Path | None = None
    counts: dict[str, Counts] = field(default_factory=dict)
    peak: int = 0
    """Greatest resident memory of a worker, in bytes."""

    def run(self):
        """Runs all targets; returns the counts of each."""
        self.counts = {name: Counts() for name in self.targets}
        first, until, left = {}, {}, dict(self.targets)
        if self.seconds is not None:
            share, now = self.seconds / len(left), time.time()
            until = {name: now + share * position for position, name in enumerate(left, 1)}
            left = dict.fromkeys(left, _UNBOUNDED)
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_fast_folder()) as scratch:
            while left:
                job = {"seed": self.seed, "targets": left, "first": first, "until": until, "scratch": scratch}
                has_ended, target, block, errors = self._run_worker(job, Path(scratch))
                if has_ended:
                    break
                if target is None:
                    raise RuntimeError(f"the worker cannot start: {errors}")
                self._add(target, errors, Path(scratch) / target / "case")
                left = dict(list(left.items())[list(left).index(target) :])
                if block is None:  # It died before its first case; another attempt would too.
                    left.pop(target)
                else:
                    first[target] = block + 1
        return self.counts

    def _run_worker(self, job, scratch):
        """Runs a worker: whether it came to its end, the last target and block, and what it printed."""
        reading, writing = os.pipe()
        has_ended, target, block = False, None, None
        with open(scratch / "errors.txt", "w+", encoding="utf-8") as errors:
            arguments = [*_WORKER, json.dumps({**job, "pipe": writing})]
            environment = {**os.environ, "GLOG_v": "3", "OMP_NUM_THREADS": "1"}
            with subprocess.Popen(arguments, pass_fds=[writing], stderr=errors, cwd=ROOT, env=environment) as process:
                os.close(writing)
                with os.fdopen(reading) as reports:
                    for line in reports:
                        report = json.loads(line)
                        if "target" in report:
                            target, block = report["target"], None
                        elif "begin" in report:
                            block = report["begin"]
                        elif "finding" in report:
                            self._add(target, report["traceback"], Path(report["finding"]))
                        elif "block" in report:
                            self._count(target, report)
                        else:
                            has_ended = True
            errors.seek(0)
            return (
                has_ended,
                target,
                block,
                f"the process ended with code {process.returncode}\n{errors.read()[-20_000:]}",
            )

    def _count(self, target, report):
        counts = self.counts[target]
        counts.accepted += report["accepted"]
        counts.refused += report["refused"]
        counts.slowest = max(counts.slowest, report["slowest"])
        self.peak = max(self.peak, report["peak"] * 1024)

    def _add(self, target, text, case):
        counts = self.counts[target]
        counts.num_findings += 1
        place = "\n".join(re.findall(r"^ *File .*", text, re.MULTILINE)[-3:]) or text
        if place in counts.findings:
            return
        counts.findings[place] = text
        if self.folder is not None:
            kept = self.folder / f"{target}-{self.seed}-{len(counts.findings)}"
            shutil.rmtree(kept, ignore_errors=True)
            kept.mkdir(parents=True)
            (kept / "traceback.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
            if case.is_dir():
                shutil.copytree(case, kept / "case", symlinks=True)
