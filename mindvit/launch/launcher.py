"""Launches training or evaluation on several ranks: mindvit launch train --config configs/digits.yaml"""

import sys
from datetime import datetime
from pathlib import Path

from mindvit.errors import UserError
from mindvit.evaluation.evaluator import EvalSettings
from mindvit.files import make_folder
from mindvit.launch.job import read_job
from mindvit.launch.supervisor import supervise
from mindvit.parsing import parse
from mindvit.training.recipe import Recipe

_SETTINGS = {"train": Recipe, "eval": EvalSettings}
_EVALUATIONS = Path("output/evaluation")


def launch(arguments: list[str], usage: str) -> None:
    """Runs a command as a job of several ranks, and ends the process if the job fails.

    The environment says how many ranks there are: see ``mindvit.launch.job.read_job``.

    Args:
        arguments: ``train`` or ``eval``, and the arguments of that command.
        usage: how it was called, for ``--help``.

    Raises:
        UserError: for a mistake in the settings or in the environment, before any rank is started.
        SystemExit: with the exit code of the job if it is not 0.
    """
    command, *options = arguments or ["--help"]
    if command in ("--help", "-h"):
        print(
            f"usage: {usage} train|eval [options]\n\nRuns the command on several ranks; docs/distributed.md explains how."
        )
        return
    if command not in _SETTINGS:
        raise UserError(f"{command!r} cannot run on several ranks; {' and '.join(_SETTINGS)} can")
    # Parsed here too, so that a mistake is reported before any rank is started.
    settings, _ = parse(_SETTINGS[command], f"{command} on several ranks", options, usage=f"{usage} {command}")
    job = read_job(settings.runtime.device)
    logs = _log_folder(settings, job.node_rank if job.num_nodes > 1 else None)
    print(f"{job.describe()}; logs in {logs}", flush=True)
    code = supervise(job, ["python", "-m", "mindvit", *arguments], logs)
    if code:
        sys.exit(code)


def _log_folder(settings: Recipe | EvalSettings, node_rank: int | None) -> Path:
    if isinstance(settings, Recipe):
        place = Path(settings.output_dir)
    else:
        place = Path(settings.output).parent if settings.output else _EVALUATIONS
    started = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    return make_folder(place / "logs" / (started if node_rank is None else f"{started}-node{node_rank}"))
