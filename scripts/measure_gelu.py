"""Times the two forms of GELU beside MindSpore's own exact one, and prints how far each is from the truth.

Run from the project's folder: python scripts/measure_gelu.py [--shape 8 197 3072] [--rounds 15]
All run in one process, in turn, compiled; medians are printed, forward and with the gradient.
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

from mindvit.models.activations import ExactGELU, TanhGELU


class Gradient(nn.Cell):
    """A cell's gradient for the sum of its outputs."""

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__()
        self.cell = cell
        self.gradient = ops.GradOperation()

    def construct(self, x):
        return self.gradient(self.cell)(x)


def seconds(cells: dict[str, nn.Cell], x: ms.Tensor, rounds: int) -> dict[str, list[float]]:
    """Times of each cell in turn, after one call that compiles it."""
    taken: dict[str, list[float]] = {name: [] for name in cells}
    for index in range(rounds + 1):
        for name, cell in cells.items():
            started = time.perf_counter()
            cell(x).asnumpy()
            if index:
                taken[name].append(time.perf_counter() - started)
    return taken


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs="+", default=[8, 197, 3072])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()

    ms.set_context(mode=ms.GRAPH_MODE)
    points = np.linspace(-12, 12, 2400001, dtype=np.float32)
    truth = points * ndtr(points.astype(np.float64))
    slope = ndtr(points.astype(np.float64)) + points * np.exp(-0.5 * points.astype(np.float64) ** 2) / np.sqrt(
        2 * np.pi
    )
    x = ms.Tensor(np.random.default_rng(0).standard_normal(arguments.shape).astype(np.float32))
    cells = {"tanh": TanhGELU(), "exact": ExactGELU(), "stock": nn.GELU(approximate=False)}
    forward = seconds(cells, x, arguments.rounds)
    gradients = {name: Gradient(cell) for name, cell in cells.items()}
    backward = seconds(gradients, x, arguments.rounds)

    print(f"{'form':<8}{'forward':>10}{'of tanh':>9}{'gradient':>11}{'of tanh':>9}{'error':>10}{'of slope':>10}")
    for name, cell in cells.items():
        row = f"{name:<8}"
        for taken, width in ((forward, 7), (backward, 8)):
            ratios = [own / tanh for own, tanh in zip(taken[name], taken["tanh"], strict=True)]
            row += f"{statistics.median(taken[name]) * 1000:>{width}.1f} ms{statistics.median(ratios):>9.2f}"
        errors = (
            np.abs(result(ms.Tensor(points)).asnumpy() - expected).max()
            for result, expected in ((cell, truth), (gradients[name], slope))
        )
        print(row + "".join(f"{error:>10.1e}" for error in errors))


if __name__ == "__main__":
    main()
