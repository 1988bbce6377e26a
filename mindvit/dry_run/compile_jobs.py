"""Starts a process that compiles graphs for Ascend in MindSpore's dry run, and reads what came of them.

Everything that decides about the device must be in the environment before MindSpore is loaded. So a dry run is a
process of its own, in a temporary working folder, because MindSpore writes files into the current one.
"""

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import mindspore

from mindvit.dry_run.cann_libraries import CannLibraries, provide_cann
from mindvit.dry_run.compile_errors import reduce_error
from mindvit.dry_run.compile_log import LOG_SETTINGS, CompileLog, read_jobs
from mindvit.dry_run.kernel_graph import GRAPH_PASS, WRITTEN, KernelNode, read_graphs
from mindvit.dry_run.roofline import DeviceModel
from mindvit.errors import UserError
from mindvit.strict_json import dump_json, parse_json

KNOWN_VERSIONS = ("2.10",)
"""Versions of MindSpore whose log and graphs this project knows how to read."""
MAX_RANKS = 65_536
"""Greatest number of ranks of a dry run."""

_WORKER = "mindvit.dry_run_worker"
_JOBS, _RESULTS, _GRAPHS = "jobs.json", "results", "graphs"


@dataclass(frozen=True)
class CompileJob:
    """A graph to compile."""

    recipe: str
    """A recipe, YAML."""
    step: Literal["train", "eval"] = "train"
    """train: the whole training step; eval: the forward pass of evaluation."""
    network: Literal["own", "stock"] = "own"
    """own: the network and the step of this project; stock: plain cells of MindSpore, as the tutorial has them."""
    jit_level: str | None = None
    """Level of MindSpore's compiler; None takes that of the recipe."""
    num_classes: int | None = None
    """Outputs of the head; None takes those of the data source, or 1000."""


@dataclass(frozen=True)
class Compilation:
    """What came of a job."""

    log: CompileLog
    """Kernels and fallbacks."""
    nodes: list[KernelNode]
    """The kernels with the shapes of their tensors, views included."""
    facts: dict[str, Any]
    """What the process says of the graph: ``model``, ``parameters``, ``image_size``, ``batch_size``, ``jit_level``,
    ``amp_level``, ``amp_dtype``, ``fused_attention``, ``peak_memory_bytes`` and ``seconds``."""
    error: str | None = None
    """Why it does not compile, in a sentence; None if it does."""
    cann_is_installed: bool = False
    """Whether it was compiled with CANN's libraries, and not with stand-ins."""


def compile_jobs(jobs: Sequence[CompileJob], ranks: int = 1, device: DeviceModel | None = None) -> list[Compilation]:
    """Compiles graphs one after the other, as rank 0 of a job. One that crashes does not stop the others.

    Args:
        jobs: the graphs.
        ranks: number of ranks.
        device: the device; its ``soc`` is compiled for.

    Raises:
        UserError: if the stand-ins for CANN cannot be built, or the process cannot start.
    """
    if mindspore.__version__.rpartition(".")[0] not in KNOWN_VERSIONS:
        warnings.warn(
            f"MindSpore {mindspore.__version__} is not known to the dry run, which reads its log and graphs; the known "
            f"versions are {', '.join(f'{version}.x' for version in KNOWN_VERSIONS)}, and figures may be missing",
            stacklevel=2,
        )
    cann = provide_cann(Path(mindspore.__file__).parent, mindspore.__version__)
    with tempfile.TemporaryDirectory(prefix="mindvit-dry-run-") as name:
        folder = Path(name)
        (folder / _JOBS).write_text(dump_json([asdict(job) for job in jobs]), encoding="utf-8")
        environment = worker_environment(cann, ranks, (device or DeviceModel()).soc, folder / _GRAPHS)
        logs = _run(folder, environment)
        return _collect(folder, len(jobs), logs, cann.is_installed)


def worker_environment(cann: CannLibraries, ranks: int, soc: str, graphs: Path) -> dict[str, str]:
    """The environment of the compiling process.

    Variables with which ``msrun`` makes a process a rank are left out: the dry run stands for a rank by itself.
    """
    own = {name: value for name, value in os.environ.items() if name not in ("MS_ROLE", "MS_SCHED_HOST", "DEVICE_ID")}
    own |= LOG_SETTINGS
    own |= {"MS_SIMULATION_LEVEL": "1", "RANK_SIZE": str(ranks), "RANK_ID": "0", "MINDVIT_DRY_RUN_SOC": soc}
    own |= {
        "MS_DEV_SAVE_GRAPHS": "1",
        "MS_DEV_SAVE_GRAPHS_PATH": str(graphs / WRITTEN),
        "MS_DEV_DUMP_IR_PASSES": GRAPH_PASS,
    }
    own |= {"PYTHONUNBUFFERED": "1"}
    project = str(Path(__file__).parents[2])
    own["PYTHONPATH"] = _joined(project, cann.python_path, own.get("PYTHONPATH"))
    if cann.stand_ins is not None:
        own["LD_LIBRARY_PATH"] = _joined(cann.stand_ins, own.get("LD_LIBRARY_PATH"))
    if cann.preloaded is not None:
        own["LD_PRELOAD"] = _joined(cann.preloaded, own.get("LD_PRELOAD"))
    return own


def _joined(*paths: str | Path | None) -> str:
    return os.pathsep.join(str(path) for path in paths if path)


def _run(folder: Path, environment: dict[str, str]) -> list[CompileLog]:
    command = [sys.executable, "-m", _WORKER, _JOBS, _RESULTS, _GRAPHS, str(os.getpid())]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        return read_jobs(process.stdout)
    finally:
        process.kill()
        process.wait()


def _collect(folder: Path, count: int, logs: list[CompileLog], is_installed: bool) -> list[Compilation]:
    logs = [*logs, *(CompileLog() for _ in range(count - len(logs)))]
    compilations = []
    for index in range(count):
        nodes = read_graphs(folder / _GRAPHS / str(index))
        path = folder / _RESULTS / f"{index}.json"
        if path.exists():
            result = parse_json(path.read_text(encoding="utf-8"))
            text = result["error"]
            error = text if text is None or result["is_user_error"] else reduce_error(text)
            facts = result["facts"]
        else:
            error, facts = _crash(logs[index] if logs[index].last_lines else logs[0]), {}
        compilations.append(Compilation(logs[index], nodes, facts, error, is_installed))
    return compilations


def _crash(log: CompileLog) -> str:
    lines = log.last_lines
    last = next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "it wrote no message")
    return f"MindSpore's compiler ended without a result: {last[:500]}"


def check_ranks(ranks: int) -> None:
    """Checks a number of ranks.

    Raises:
        ValueError: if it is not positive or too large.
    """
    if not 1 <= ranks <= MAX_RANKS:
        raise ValueError(f"ranks must lie in [1, {MAX_RANKS:,}], not {ranks}")


def checked(compilation: Compilation) -> Compilation:
    """The compilation, if it succeeded.

    Raises:
        UserError: if it failed.
    """
    if compilation.error is not None:
        raise UserError(compilation.error)
    return compilation
