"""The process that runs the cases: ``python -m tests.fuzz.worker JOB``. The campaign starts it again if it dies.

It reports by lines of JSON on a pipe. The case that runs is in the folder ``case`` of its target's scratch folder.
"""

import faulthandler
import json
import math
import os
import resource
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path

from mindvit.errors import UserError
from tests.fuzz.sandbox import confined_to, limited_memory

SECONDS = 120
"""A case that takes longer is a finding. A machine that is busy with other work is slow, so this is far above what a
case takes."""
MAX_SENTENCE = 20_000


class Runner:
    """Runs the cases of one target.

    Args:
        target: the target.
        scratch: folder for its files.
        report: gets a dictionary for each finding and each block.
    """

    def __init__(self, target, scratch, report):
        self.target, self.report = target, report
        self.area = scratch / target.name
        self.case = self.area / "case"
        self.counts, self.num_findings = {}, 0
        shutil.rmtree(self.area, ignore_errors=True)
        (self.area / "seeds").mkdir(parents=True)
        with limited_memory():
            seeds = target.prepare(self.area / "seeds")
        for name, folder in seeds.items():  # This also imports what the target needs.
            try:
                target.check(folder)
            except Exception:
                self.report({"finding": f"the intact case {name} is refused", "traceback": traceback.format_exc()})

    def run(self, block_seed):
        """Runs a block of cases; reports findings, and the counts of the others."""
        self.counts = {"accepted": 0, "refused": 0, "slowest": 0.0}
        try:
            self.target.run(block_seed, self.attempt)
        except BaseException:  # Of a TextTarget: the smallest text that hypothesis found.
            self._report_finding()
        self.report({"block": block_seed, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, **self.counts})

    def attempt(self, write, is_raised=False):
        """Runs one case.

        Args:
            write: writes the case into a folder.
            is_raised: whether a finding is raised, not reported.
        """
        shutil.rmtree(self.case, ignore_errors=True)
        self.case.mkdir()
        write(self.case)
        started = time.monotonic()
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            with limited_memory():
                outcome = judge(self.target, self.case, self.area)
            self.counts[outcome] += 1
        except BaseException:
            if is_raised:
                raise
            self._report_finding()
        finally:
            faulthandler.cancel_dump_traceback_later()
            self.counts["slowest"] = max(self.counts["slowest"], time.monotonic() - started)

    def _report_finding(self):
        self.num_findings += 1
        kept = self.area / f"finding-{self.num_findings}"
        if self.case.is_dir():
            self.case.rename(kept)
        self.report({"finding": str(kept), "traceback": traceback.format_exc()})


def judge(target, case, area):
    """Runs a case: "accepted" or "refused".

    Raises:
        BaseException: if it is neither.
    """
    before = _content(area.parent, case)
    try:
        with confined_to(case):
            target.check(case)
        outcome = "accepted"
    except UserError as error:
        message = str(error)
        assert 0 < len(message) < MAX_SENTENCE, f"the message has {len(message)} characters"
        assert "not enough memory" not in message, message
        assert not isinstance(error.__cause__, MemoryError), "it takes more memory than is allowed"
        outcome = "refused"
    except SystemExit as end:
        assert end.code in (0, None), f"exit code {end.code}"  # --help
        outcome = "refused"
    assert _content(area.parent, case) == before, "a file was written outside the folder of the case"
    return outcome


def _content(scratch, case):
    """The paths in the scratch folder, without those of the case."""
    return {entry.path for folder in (scratch, case.parent) for entry in os.scandir(folder)}


def main():
    job = json.loads(sys.argv[1])
    reports = os.fdopen(job["pipe"], "w")

    def report(content):
        reports.write(json.dumps(content) + "\n")
        reports.flush()

    faulthandler.enable()
    warnings.simplefilter("ignore")
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (the --help of a command line prints)
    from tests.fuzz.targets import TARGETS

    for name, blocks in job["targets"].items():
        report({"target": name})
        runner = Runner(TARGETS[name], Path(job["scratch"]), report)
        first = job["first"].get(name, 0)
        for block in range(first, blocks):
            if block > first and time.time() > job["until"].get(name, math.inf):
                break
            report({"begin": block})
            runner.run(f"{job['seed']} {name} {block}")
    report({"done": True})
    os._exit(0)  # The threads of MindSpore would delay the end.


if __name__ == "__main__":
    main()
