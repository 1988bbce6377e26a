"""What is measured with onnxruntime. It imports nothing of MindSpore."""

from typing import Any

import numpy as np
import onnxruntime


class OnnxTask:
    """The forward pass of an ONNX file on the CPU.

    Args:
        job: see ``make_task``.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = job["threads"]
        self.session = onnxruntime.InferenceSession(job["onnx"], options, providers=["CPUExecutionProvider"])
        self.images = job["input_shape"][0]
        images = np.random.default_rng(0).standard_normal(job["input_shape"]).astype(np.float32)
        self.inputs = {self.session.get_inputs()[0].name: images}
        self.facts = {"versions": {"onnxruntime": onnxruntime.__version__}, "threads": job["threads"]}

    def step(self) -> None:
        """Computes once."""
        self.session.run(None, self.inputs)


def make_task(job: dict[str, Any]) -> OnnxTask:
    """Makes the task of a job.

    Args:
        job: ``onnx``: path of the file; ``threads``; ``input_shape`` of a batch.
    """
    return OnnxTask(job)
