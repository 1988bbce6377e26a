"""Measures full attention beside attention to a neighbourhood: time, and how far memory rises.

Run from the project's folder: python scripts/measure_local_attention.py [--window 7] [--sides 14 28 56] [--block 7]
Each figure comes from a process of its own: medians of the forward pass and of forward and backward together, and by
how much the peak of resident memory lies above that of the compiled, unused program.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindvit.models.local_attention import BlockedLocalAttention, LocalAttention, local_attention_pairs


class FullAttention(nn.Cell):
    """Every token attends to every other."""

    def __init__(self) -> None:
        super().__init__()
        self.softmax = nn.Softmax(axis=-1)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.weigh = ops.BatchMatMul()

    def construct(self, query, keys, value):
        return self.weigh(self.softmax(self.scores(query, keys)), value)


class Gradients(nn.Cell):
    """A cell's gradients for the sum of its outputs."""

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__()
        self.cell = cell
        self.gradients = ops.GradOperation(get_all=True)

    def construct(self, query, keys, value):
        return self.gradients(self.cell)(query, keys, value)


def measure(arguments: argparse.Namespace) -> None:
    """Prints milliseconds and mebibytes of one kind of attention at one size."""
    ms.set_context(mode=ms.GRAPH_MODE)
    side, heads = arguments.sides[0], arguments.heads
    if arguments.kind == "full":
        cell = FullAttention()
    elif arguments.block:
        block = (min(arguments.block, side),) * 2
        cell = BlockedLocalAttention((side, side), arguments.window, 0, heads, block)
    else:
        cell = LocalAttention((side, side), arguments.window, 0, heads)
    if arguments.backward:
        cell = Gradients(cell)
    generator = np.random.default_rng(0)
    shape = (arguments.batch_size, heads, side * side, arguments.head_dim)
    inputs = [ms.Tensor(generator.standard_normal(shape).astype(np.float32) * 0.5) for _ in range(3)]
    cell.compile(*inputs)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    milliseconds = []
    for _ in range(arguments.rounds + 1):
        started = time.perf_counter()
        result = cell(*inputs)
        (result[0] if arguments.backward else result).asnumpy()
        milliseconds.append((time.perf_counter() - started) * 1000)
    risen = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print("measured", statistics.median(milliseconds[1:]), risen)


def main() -> None:
    """Starts a process for each figure and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--window", type=int, default=7)
    parser.add_argument("--sides", type=int, nargs="+", default=[14, 28, 56], help="patches along a side")
    parser.add_argument("--block", type=int, default=0, help="side of a block; 0 leaves it to the cell")
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--head_dim", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--kind", choices=["full", "neighbourhood"], help="of the one figure that a process measures")
    parser.add_argument("--backward", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.kind:
        measure(arguments)
        return

    options = ("window", "block", "heads", "head_dim", "batch_size", "rounds")
    common = [part for name in options for part in (f"--{name}", str(getattr(arguments, name)))]
    print(
        f"{'tokens':>6} {'attention':<14}{'scores':>10}{'forward':>12}{'memory':>10}{'and backward':>15}{'memory':>10}"
    )
    for side in arguments.sides:
        for kind in ("full", "neighbourhood"):
            scores = side**4 if kind == "full" else local_attention_pairs((side, side), arguments.window, 0)
            row = f"{side * side:>6} {kind:<14}{'' if arguments.block else scores:>10}"
            for extra, width in (([], 9), (["--backward"], 12)):
                command = [sys.executable, __file__, *common, "--kind", kind, "--sides", str(side), *extra]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                taken, risen = map(float, output.split("measured")[1].split()[:2])
                row += f"{taken:>{width}.1f} ms{risen:>6.0f} MiB"
            print(row, flush=True)


if __name__ == "__main__":
    main()
