"""What a program computes is the same with graphs that it compiles and with graphs of an earlier process."""

import json
import os
import subprocess
import sys

import pytest

from mindvit.graph_cache.cached_compile import _session as cached_session
from mindvit.graph_cache.graph_store import GraphStore
from tests.conftest import ROOT
from tests.graph_cache.cached_runs import LAYER

KINDS = ("", "loss.label_smoothing=0.3,optimizer.lr=1e-2,ema.decay=0.5")
WITHOUT_CACHE = f"{KINDS[1]},runtime.compile_cache=false"


def start(folder, cache, *kinds):
    command = [sys.executable, "-m", "tests.graph_cache.cached_runs", str(folder), *kinds]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "GLOG_v": "3"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output.splitlines()[-1])


def outputs(results):
    return {kind: result["outputs"] for kind, result in results.items()}


def counts(results):
    """Graphs that were loaded and that were stored."""
    return [(result["loaded"], result["stored"]) for result in results.values()]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The cache that a first process leaves, and its results."""
    folder = tmp_path_factory.mktemp("first")
    return folder, finish(start(folder / "run", folder / "cache", *KINDS, WITHOUT_CACHE, LAYER))


def test_cached_graphs_compute_what_compiled_graphs_compute(first, tmp_path):
    folder, results = first
    assert counts(results) == [(0, 2), (1, 2), (0, 0), (0, 1)], "both runs evaluate the network by the same graph"
    assert results[WITHOUT_CACHE]["outputs"] == results[KINDS[1]]["outputs"]
    # In another order, because MindSpore's own cache tells graphs apart by their order only.
    again = finish(start(tmp_path, folder / "cache", LAYER, *KINDS[::-1]))
    assert counts(again) == [(1, 0), (3, 0), (2, 0)]
    assert outputs(again) == {kind: found for kind, found in outputs(results).items() if kind != WITHOUT_CACHE}


def test_graphs_that_mindspore_cannot_read_are_compiled(first, tmp_path):
    folder, results = first
    store = GraphStore(folder / "cache/mindvit/graphs")
    intact = {path.stem: store.read(path.stem) for path in store.folder.glob("*.graph")}
    for key in intact:
        store.write(key, b"not a graph")
    again = finish(start(tmp_path, folder / "cache", LAYER))
    assert outputs(again)[LAYER] == outputs(results)[LAYER]
    assert sum(store.read(key) is None for key in intact) == 1, "it must not be offered again"
    for key, graph in intact.items():
        store.write(key, graph)


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Makes the cache of this process, as at its first graph, in a process that runs the file of a program."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [__file__])
    return cached_session.__wrapped__


def test_a_process_has_a_cache_by_default(session, tmp_path):
    assert session().store.folder == tmp_path / "mindvit/graphs"


def test_a_folder_that_others_can_write_to_is_not_used_with_a_note(session, tmp_path):
    (tmp_path / "mindvit/graphs").mkdir(parents=True)
    (tmp_path / "mindvit/graphs").chmod(0o777)
    with pytest.warns(UserWarning, match="compiled graphs are not kept for the next start: other users can write"):
        assert session() is None


def test_python_that_runs_no_file_has_no_cache(session, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["-c"])
    assert session() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["MS_COMPILER_CACHE_ENABLE", "MS_COMPILER_CACHE_PATH"])
def test_the_cache_of_mindspore_is_left_to_users_who_set_it(session, monkeypatch, tmp_path, name):
    monkeypatch.setenv(name, "1")
    assert session() is None
    assert list(tmp_path.iterdir()) == []
