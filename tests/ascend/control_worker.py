"""Compiles networks with operators that Ascend does not have, in place of the tutorial's."""

import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindvit.dry_run_worker import worker
from mindvit.dry_run_worker.own_graph import Graph


class Triangle(nn.Cell):
    def construct(self, x):
        return ops.cholesky(ops.matmul(x.T, x) + 1.0)


class Status(nn.Cell):
    def __init__(self):
        super().__init__()
        self.float_status = ops.FloatStatus()

    def construct(self, x):
        return self.float_status(x)


class Refused(nn.Cell):
    def __init__(self):
        super().__init__()
        self.status = Status()

    def construct(self, x):
        return self.status(x + 1.0)


def control_graph(recipe, job, ranks):
    cell = Triangle() if job.step == "train" else Refused()
    return Graph(cell, (ms.Tensor(np.ones((4, 8)), ms.float32),), {"jit_level": "O0"})


if __name__ == "__main__":
    worker.tutorial_graph = control_graph
    worker.run_jobs(*map(Path, sys.argv[1:4]))
