"""The launcher, which runs training or evaluation on several ranks: ``mindvit launch train --config …``."""

import sys
from datetime import datetime
from pathlib import Path

from mindvit.config import plain
from mindvit.dry_run.fit_check import check_step
from mindvit.errors import UserError
from mindvit.evaluation.evaluator import EvalSettings
from mindvit.files import make_folder
from mindvit.launch.job import read_job, read_world_size
from mindvit.launch.supervisor import supervise
from mindvit.parsing import parse
from mindvit.training.recipe import Recipe

_SETTINGS = {"train": Recipe, "eval": EvalSettings}
_EVAL_FOLDER = Path("output/evaluation")
_HELP = """usage: {usage} train|eval [options]

Run train or eval on several devices or nodes. The options are those of the
command.

environment variables:
  NPROC         ranks on this node (default: one per NPU, else one per GPU,
                else 2)
  NNODES        number of nodes (default: 1)
  NODE_RANK     index of this node, from 0 (default: 0)
  MASTER_ADDR   address of node 0 (default: 127.0.0.1)
  MASTER_PORT   port of the scheduler on node 0 (default: 8118; a free port if
                there is one node)
  JOIN_TIMEOUT  time to wait until all ranks have joined, in seconds
                (default: 300)
  BIND_CORES    whether each rank is bound to its share of the CPU cores
                (default: true on Ascend, else false)

docs/distributed.md explains them."""


def launch(arguments: list[str], usage: str) -> None:
    """Runs a command as a job of several ranks, and exits if the job fails.

    Environment variables set the number of nodes and ranks: see ``mindvit.launch.job.read_job``.

    Args:
        arguments: ``train`` or ``eval``, and the options of that command.
        usage: the launcher's command line up to here, for ``--help``.

    Raises:
        UserError: for a mistake in the settings or in the environment, before any rank is started.
        SystemExit: with the exit code of the job if it is not 0.
    """
    command, *options = arguments or ["--help"]
    if command in ("--help", "-h"):
        print(_HELP.format(usage=usage))
        return
    if command not in _SETTINGS:
        raise UserError(f"{command!r} cannot run on several ranks; choose {' or '.join(_SETTINGS)}")
    # The ranks parse the options again. Parsing them here reports a mistake before any rank is started.
    settings, _ = parse(_SETTINGS[command], f"Run {command} on several ranks.", options, usage=f"{usage} {command}")
    if isinstance(settings, Recipe) and settings.dry_run:
        # One process stands for rank 0. The devices of the job need not be on this machine.
        check_step(plain(settings), settings.device_memory_gb, read_world_size())
        return
    job = read_job(settings.runtime.device)
    logs = _log_folder(settings, job.node_rank if job.num_nodes > 1 else None)
    print(f"{job.describe()}; logs in {logs}", flush=True)
    code = supervise(job, ["python", "-m", "mindvit", *arguments], logs)
    if code:
        sys.exit(code)


def _log_folder(settings: Recipe | EvalSettings, node_rank: int | None) -> Path:
    if isinstance(settings, Recipe):
        folder = Path(settings.output_dir)
    else:
        folder = Path(settings.output).parent if settings.output else _EVAL_FOLDER
    started = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    return make_folder(folder / "logs" / (started if node_rank is None else f"{started}-node{node_rank}"))
