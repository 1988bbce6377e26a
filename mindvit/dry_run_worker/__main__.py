"""Compiles the graphs of a dry run: started by ``mindvit.dry_run.compile_jobs`` in an environment made for it."""

import signal
import sys

from mindvit.parent_death import end_with_parent

if __name__ == "__main__":
    jobs, results, graphs, parent = sys.argv[1:]
    end_with_parent(signal.SIGKILL, int(parent))

    from pathlib import Path

    from mindvit.dry_run_worker.worker import run_jobs

    run_jobs(Path(jobs), Path(results), Path(graphs))
