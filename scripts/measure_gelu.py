"""Measures speed and error of both forms of GELU, compared to the stock exact GELU of MindSpore.

Usage, from the project's folder: python scripts/measure_gelu.py [--shape 8 197 3072] [--rounds 15]
All run alternately in one process, in graph mode. The script prints the medians of the forward pass and the gradient.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from scipy.special import ndtr

from mindvit.ops.gelu import ExactGELU, TanhGELU


class Gradient(nn.Cell):
    """The gradient of the sum of the outputs of a cell."""

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__()
        self.cell = cell
        self.gradient = ops.GradOperation()

    def construct(self, x):
        return self.gradient(self.cell)(x)


def seconds(cells: dict[str, nn.Cell], x: ms.Tensor, rounds: int) -> dict[str, list[float]]:
    """Duration of each call in seconds, for each cell; the first call, which compiles the cell, is not counted."""
    durations: dict[str, list[float]] = {name: [] for name in cells}
    for index in range(rounds + 1):
        for name, cell in cells.items():
            started = time.perf_counter()
            cell(x).asnumpy()
            if index:
                durations[name].append(time.perf_counter() - started)
    return durations


def main() -> None:
    """Measures and prints the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--shape", type=int, nargs="+", default=[8, 197, 3072], help="shape of the input (default: 8 197 3072)"
    )
    parser.add_argument("--rounds", type=int, default=15, help="measurements (default: 15)")
    arguments = parser.parse_args()

    ms.set_context(mode=ms.GRAPH_MODE)
    points = np.linspace(-12, 12, 2400001, dtype=np.float32)
    exact = points * ndtr(points.astype(np.float64))
    exact_gradient = ndtr(points.astype(np.float64)) + points * np.exp(-0.5 * points.astype(np.float64) ** 2) / np.sqrt(
        2 * np.pi
    )
    x = ms.Tensor(np.random.default_rng(0).standard_normal(arguments.shape).astype(np.float32))
    cells = {"tanh": TanhGELU(), "exact": ExactGELU(), "stock": nn.GELU(approximate=False)}
    forward = seconds(cells, x, arguments.rounds)
    gradients = {name: Gradient(cell) for name, cell in cells.items()}
    backward = seconds(gradients, x, arguments.rounds)

    print(f"{'form':<8}{'forward':>10}{'/ tanh':>9}{'gradient':>11}{'/ tanh':>9}{'error':>10}{'gradient error':>16}")
    for name, cell in cells.items():
        row = f"{name:<8}"
        for durations, width in ((forward, 7), (backward, 8)):
            ratios = [other / tanh for other, tanh in zip(durations[name], durations["tanh"], strict=True)]
            row += f"{statistics.median(durations[name]) * 1000:>{width}.1f} ms{statistics.median(ratios):>9.2f}"
        errors = (
            np.abs(result(ms.Tensor(points)).asnumpy() - expected).max()
            for result, expected in ((cell, exact), (gradients[name], exact_gradient))
        )
        print(row + "".join(f"{error:>{width}.1e}" for error, width in zip(errors, (10, 16), strict=True)))


if __name__ == "__main__":
    main()
