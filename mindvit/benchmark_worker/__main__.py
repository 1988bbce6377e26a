"""Measures one contestant: started by ``mindvit.benchmark.worker_process``."""

import signal
import sys
from importlib import import_module

from mindvit.parent_death import end_with_parent

_TASKS = {"mindspore": "mindspore_tasks", "torch": "torch_tasks", "onnxruntime": "onnx_tasks"}
"""The module that measures with each library. It is imported late, because threads must be set before a library is."""

if __name__ == "__main__":
    library, parent = sys.argv[1:]
    end_with_parent(signal.SIGKILL, int(parent))

    from mindvit.benchmark_worker.serve import serve

    serve(lambda job: import_module(f"mindvit.benchmark_worker.{_TASKS[library]}").make_task(job))
