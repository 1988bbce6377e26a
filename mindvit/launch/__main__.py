"""Starts many workers: python -m mindvit.launch train.py --config configs/digits.yaml"""

import sys
from datetime import datetime
from pathlib import Path

from mindvit.program import run

_EVALUATIONS = Path("output/evaluation")


def main() -> None:
    """Reads the settings and the environment, and runs the job."""
    from mindvit.config import parse
    from mindvit.errors import UserError
    from mindvit.evaluation.report import EvalSettings
    from mindvit.files import make_folder
    from mindvit.launch.job import read_job
    from mindvit.launch.supervisor import supervise
    from mindvit.training.recipe import Recipe

    kinds = {"train.py": Recipe, "eval.py": EvalSettings}
    program, *arguments = sys.argv[1:] or [""]
    if program not in kinds:
        raise UserError(f"{program!r} cannot be started with many workers; {' and '.join(kinds)} can")
    # Here already, so that a slip of the pen is answered before any worker is started.
    settings, _ = parse(kinds[program], f"{program}, with many workers", arguments)
    job = read_job(settings.runtime.device)
    if isinstance(settings, Recipe):
        place = Path(settings.output_dir)
    else:
        place = Path(settings.output).parent if settings.output else _EVALUATIONS
    started = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    logs = make_folder(place / "logs" / (started if job.nodes == 1 else f"{started}-node{job.node_rank}"))
    print(f"{job.describe()}; logs in {logs}", flush=True)
    sys.exit(supervise(job, [program, *arguments], logs))


if __name__ == "__main__":
    run(main)
