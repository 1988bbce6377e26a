"""The process of a contestant, with onnxruntime, which starts fastest."""

import os

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from mindvit.benchmark.worker_process import WorkerProcess
from mindvit.errors import UserError

SIDE = 64


@pytest.fixture
def job(tmp_path):
    """A job whose network is a matrix product with an array of ``SIDE`` rows and 2**16 columns."""
    weight = numpy_helper.from_array(np.ones((SIDE, 2**16), np.float32), "w")
    shapes = {"x": [2, SIDE], "y": [2, 2**16]}
    value = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "product", [value["x"]], [value["y"]], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "product.onnx")
    return {"onnx": str(tmp_path / "product.onnx"), "threads": 1, "input_shape": [2, SIDE], "contestant": "onnxruntime"}


def test_a_process_measures_and_reports_its_own_memory(job):
    with WorkerProcess("onnxruntime", job) as worker:
        assert worker.started["images"] == 2
        assert worker.started["first_seconds"] > 0
        once, often = (worker.ask("measure", steps=steps)["seconds"] for steps in (1, 200))
        assert 0 < once < often
        peak = worker.ask("memory")["peak_bytes"]
        assert SIDE * 2**16 * 4 < peak < 2e9, "its weights are in it"
        process = psutil.Process(worker._process.pid)
        assert process.cpu_affinity() == sorted(os.sched_getaffinity(0))[:1]
        assert process.environ()["OMP_NUM_THREADS"] == "1"
        assert worker.finish() is None
        assert not process.is_running()


def test_a_process_ends_with_the_block(job):
    with pytest.raises(RuntimeError, match="elsewhere"), WorkerProcess("onnxruntime", job) as worker:
        process = psutil.Process(worker._process.pid)
        raise RuntimeError("elsewhere")
    assert not process.is_running()


def test_an_error_in_the_process_names_the_contestant(job):
    with pytest.raises(UserError, match=r"^onnxruntime: .*no_file\.onnx"):
        WorkerProcess("onnxruntime", {**job, "onnx": "no_file.onnx"})


def test_a_process_that_dies_is_an_error_with_its_last_words(job, tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho out of luck >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(UserError, match="ended with code 3; it wrote: out of luck"):
        WorkerProcess("onnxruntime", job, str(program))


def test_an_interpreter_that_does_not_exist_is_named(job):
    with pytest.raises(UserError, match="cannot start /no/python: No such file"):
        WorkerProcess("onnxruntime", job, "/no/python")
