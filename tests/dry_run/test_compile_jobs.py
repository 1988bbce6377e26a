from pathlib import Path

import mindspore
import pytest

from mindvit.dry_run import compile_jobs
from mindvit.dry_run.cann_libraries import CannLibraries
from mindvit.dry_run.compile_jobs import CompileJob, checked, worker_environment
from mindvit.errors import UserError
from tests.dry_run.mindspore_texts import GRAPH, NO_KERNEL, kernel

WORKER = """
import json, pathlib, sys
jobs, results, graphs, _ = sys.argv[1:]
found = {found}
pathlib.Path(results).mkdir()
for index, result in enumerate(found):
    print("mindvit-dry-run: job", index)
    print({line!r}, end="")
    folder = pathlib.Path(graphs) / str(index)
    folder.mkdir(parents=True)
    (folder / "graph_build_0_0001.ir").write_text({graph!r})
    if result:
        pathlib.Path(results, f"{{index}}.json").write_text(json.dumps(result))
    else:
        print("Error: core dumped")
"""
GOOD = {"facts": {"model": "x"}, "error": None, "is_user_error": False}


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Replaces the compiling process by one that answers as told."""
    monkeypatch.setattr(compile_jobs, "provide_cann", lambda *_: CannLibraries(is_installed=True))

    def make(results):
        module = tmp_path / "answering.py"
        module.write_text(WORKER.format(found=results, line=kernel("Cast", "opapi_kernel"), graph=GRAPH))
        monkeypatch.setattr(compile_jobs, "_WORKER", "answering")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return make


def test_each_job_gets_its_log_graph_and_facts(worker):
    worker([GOOD, {**GOOD, "facts": {"model": "y"}}])
    first, second = compile_jobs.compile_jobs([CompileJob(""), CompileJob("")])
    assert (first.facts, second.facts) == ({"model": "x"}, {"model": "y"})
    assert first.log.kernels == [("Cast", "opapi_kernel")]
    assert [node.name for node in second.nodes] == ["TensorMove", "MatMul", "Split"]
    assert checked(first) is first


def test_an_error_of_the_compiler_is_reduced_and_the_next_job_is_compiled(worker):
    worker([{"facts": {}, "error": NO_KERNEL, "is_user_error": False}, GOOD])
    failed, compiled = compile_jobs.compile_jobs([CompileJob(""), CompileJob("")])
    with pytest.raises(UserError, match=r"operator FloatStatus, cell network\.norm"):
        checked(failed)
    assert compiled.error is None


def test_a_mistake_in_the_settings_keeps_its_own_words(worker):
    worker([{"facts": {}, "error": "model.depth must be at least 1", "is_user_error": True}])
    (failed,) = compile_jobs.compile_jobs([CompileJob("")])
    assert failed.error == "model.depth must be at least 1"


def test_a_compiler_that_crashes_is_told_with_its_last_words(worker):
    worker([GOOD, None, GOOD])
    good, crashed, last = compile_jobs.compile_jobs([CompileJob("")] * 3)
    assert good.error is last.error is None
    assert crashed.error == "MindSpore's compiler ended without a result: Error: core dumped"


def test_another_version_of_mindspore_is_noted_with_the_known_ones(worker, monkeypatch):
    worker([GOOD])
    monkeypatch.setattr(mindspore, "__version__", "2.11.0")
    with pytest.warns(UserWarning, match=r"MindSpore 2.11.0 is not known.*the known versions are 2.10.x"):
        compile_jobs.compile_jobs([CompileJob("")])


def test_the_process_stands_for_one_rank_of_a_job_whatever_msrun_says(monkeypatch):
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/before")
    monkeypatch.setenv("LD_PRELOAD", "/before.so")
    cann = CannLibraries(False, Path("/cann/latest/lib64"), Path("/cann/libwaiting.so"), Path("/cann/python"))
    environment = worker_environment(cann, 8, "Ascend910B4", Path("/graphs"))
    assert "MS_ROLE" not in environment
    assert (environment["RANK_SIZE"], environment["RANK_ID"]) == ("8", "0")
    assert environment["LD_LIBRARY_PATH"] == "/cann/latest/lib64:/before"
    assert environment["LD_PRELOAD"] == "/cann/libwaiting.so:/before.so"
    assert "/cann/python" in environment["PYTHONPATH"].split(":")
    assert environment["MINDVIT_DRY_RUN_SOC"] == "Ascend910B4"


def test_no_working_file_remains(worker, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    worker([GOOD])
    compile_jobs.compile_jobs([CompileJob("")])
    assert not list(tmp_path.glob("mindvit-dry-run-*"))
