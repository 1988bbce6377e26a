"""Compiles jobs one after the other, and writes what the log does not say."""

import gc
import os
import signal
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import mindspore as ms

from mindvit.dry_run.compile_jobs import CompileJob
from mindvit.dry_run.compile_log import GRAPH_ENDS, GRAPH_STARTS, JOB_STARTS, NOTE
from mindvit.dry_run.kernel_graph import GRAPH_PASS, WRITTEN
from mindvit.dry_run_worker.allocation import allocate
from mindvit.dry_run_worker.own_graph import Graph, ascend_runtime, jit_level, own_graph
from mindvit.dry_run_worker.tutorial_graph import tutorial_graph
from mindvit.errors import UserError
from mindvit.parent_death import end_with_parent
from mindvit.parsing import load_recipe
from mindvit.runtime import set_jit_level
from mindvit.strict_json import dump_json, parse_json
from mindvit.training.recipe import Recipe

_RECIPE = "recipe.yaml"


def run_jobs(jobs: Path, results: Path, graphs: Path) -> None:
    """Compiles each job in a process of its own, and writes its result. A job that crashes has none.

    Args:
        jobs: file with the jobs, JSON.
        results: folder to write to: file i.json has the facts and the error of job i.
        graphs: folder of graphs; MindSpore writes to its subfolder ``WRITTEN``, and those of job i are moved to i.
    """
    warnings.formatwarning = lambda message, *where: f"{NOTE}{' '.join(str(message).split())}\n"
    graphs.mkdir()
    results.mkdir()
    gc.freeze()  # MindSpore collects garbage in each compilation; what is imported here is none.
    for index, entry in enumerate(parse_json(jobs.read_text(encoding="utf-8"))):
        print(f"{JOB_STARTS} {index}", file=sys.stderr, flush=True)
        # A second compilation in one process takes twice as long as the first. Before a device is set, MindSpore has
        # no state that a fork could break.
        child = os.fork()
        if child == 0:
            end_with_parent(signal.SIGKILL)
            _compile_alone(CompileJob(**entry), results / f"{index}.json", graphs)
            os._exit(0)
        os.waitpid(child, 0)
        folder = graphs / str(index)
        folder.mkdir()
        for path in _written(graphs):
            path.rename(folder / path.name)


def _written(graphs: Path) -> list[Path]:
    """The graphs that MindSpore has written and that belong to no job yet; with several ranks to a folder rank_0."""
    return list((graphs / WRITTEN).rglob(f"{GRAPH_PASS}_*.ir"))


def _compile_alone(job: CompileJob, result: Path, graphs: Path) -> None:
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("Ascend")
    ranks = int(os.environ["RANK_SIZE"])
    if ranks > 1:
        ms.communication.init()
    result.write_text(dump_json(_result(job, ranks, graphs)), encoding="utf-8")


def _result(job: CompileJob, ranks: int, graphs: Path) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    try:
        _compile(job, ranks, graphs, facts)
    except Exception as error:  # MindSpore raises any type.
        return {"facts": facts, "error": str(error) or repr(error), "is_user_error": isinstance(error, UserError)}
    return {"facts": facts, "error": None, "is_user_error": False}


def _compile(job: CompileJob, ranks: int, graphs: Path, facts: dict[str, Any]) -> None:
    Path(_RECIPE).write_text(job.recipe, encoding="utf-8")
    recipe = load_recipe(_RECIPE)
    set_jit_level(jit_level(recipe, job))
    graph = _graph(recipe, job, ranks)
    facts |= graph.facts
    for path in _written(graphs):  # Of what was computed to build it.
        path.unlink()
    print(GRAPH_STARTS, file=sys.stderr, flush=True)
    started = time.perf_counter()
    graph.cell.compile(*graph.inputs)
    facts["seconds"] = round(time.perf_counter() - started, 1)
    print(GRAPH_ENDS, file=sys.stderr, flush=True)
    compiled = set(_written(graphs))
    sums = 0
    if job.network == "own" and job.step == "train" and recipe.train.accumulate_steps > 1:
        # A loop over micro-batches never ends in a dry run, which has no values: it is compiled, but cannot be run.
        sums = 4 * sum(parameter.size for parameter in graph.cell.network.trainable_params())
        graph = _graph(replace(recipe, train=replace(recipe.train, accumulate_steps=1)), job, ranks)
        warnings.warn(
            "the peak memory is that of one micro-batch and of the gradient sums, because a dry run cannot run the "
            "loop over micro-batches; kernels, bytes and FLOPs of the loop count once",
            stacklevel=2,
        )
    # After the graph itself, because MindSpore compiles the first graph of a process faster than others.
    allocate(graph.updated)
    graph.cell(*graph.inputs)
    ms.runtime.synchronize()
    facts["peak_memory_bytes"] = ms.runtime.max_memory_allocated() + sums
    for path in set(_written(graphs)) - compiled:
        path.unlink()


def _graph(recipe: Recipe, job: CompileJob, ranks: int) -> Graph:
    if job.network == "own":
        return own_graph(recipe, job, ascend_runtime(recipe, job, ranks))
    return tutorial_graph(recipe, job, ranks)
