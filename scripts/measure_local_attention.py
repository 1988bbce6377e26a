"""Measures time and memory of local attention, compared to full attention.

Usage, from the project's folder:
python scripts/measure_local_attention.py [--window_size 7] [--sides 14 28 56] [--block 7]
Each figure is measured in a separate process: the median duration of the forward pass, and of forward and backward
pass together; and the increase of the peak resident memory after compilation.
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

from mindvit.analysis.counting import local_attention_pairs
from mindvit.models.local_attention import BlockedLocalAttention, LocalAttention


class FullAttention(nn.Cell):
    """Attention of all tokens to all tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.softmax = nn.Softmax(axis=-1)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.weighted_sum = ops.BatchMatMul()

    def construct(self, query, key, value):
        return self.weighted_sum(self.softmax(self.scores(query, key)), value)


class Gradients(nn.Cell):
    """The gradients of the sum of the outputs of a cell."""

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__()
        self.cell = cell
        self.gradients = ops.GradOperation(get_all=True)

    def construct(self, query, key, value):
        return self.gradients(self.cell)(query, key, value)


def measure(arguments: argparse.Namespace) -> None:
    """Prints the milliseconds and mebibytes of one kind of attention at one size."""
    ms.set_context(mode=ms.GRAPH_MODE)
    side, heads = arguments.sides[0], arguments.heads
    if arguments.kind == "full":
        cell = FullAttention()
    elif arguments.block:
        block = (min(arguments.block, side),) * 2
        cell = BlockedLocalAttention((side, side), arguments.window_size, 0, heads, block)
    else:
        cell = LocalAttention((side, side), arguments.window_size, 0, heads)
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
    increase = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print("measured", statistics.median(milliseconds[1:]), increase)


def main() -> None:
    """Starts a process for each figure, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--window_size", type=int, default=7, help="side of the window, in patches (default: 7)")
    parser.add_argument("--sides", type=int, nargs="+", default=[14, 28, 56], help="sides of the grid, in patches")
    parser.add_argument(
        "--block", type=int, default=0, help="side of a block, in patches (default: 0, chosen by the cell)"
    )
    parser.add_argument("--heads", type=int, default=6, help="number of heads (default: 6)")
    parser.add_argument("--head_dim", type=int, default=64, help="dimension of a head (default: 64)")
    parser.add_argument("--batch_size", type=int, default=2, help="images (default: 2)")
    parser.add_argument("--rounds", type=int, default=9, help="measurements (default: 9)")
    parser.add_argument("--kind", choices=["full", "local"], help="measure one kind of attention in this process")
    parser.add_argument("--backward", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.kind:
        measure(arguments)
        return

    options = ("window_size", "block", "heads", "head_dim", "batch_size", "rounds")
    common = [part for name in options for part in (f"--{name}", str(getattr(arguments, name)))]
    print(
        f"{'tokens':>6} {'attention':<14}{'scores':>10}{'forward':>12}{'memory':>10}{'with backward':>15}{'memory':>10}"
    )
    for side in arguments.sides:
        for kind in ("full", "local"):
            scores = side**4 if kind == "full" else local_attention_pairs((side, side), arguments.window_size, 0)
            row = f"{side * side:>6} {kind:<14}{'' if arguments.block else scores:>10}"
            for extra, width in (([], 9), (["--backward"], 12)):
                command = [sys.executable, __file__, *common, "--kind", kind, "--sides", str(side), *extra]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                duration, increase = map(float, output.split("measured")[1].split()[:2])
                row += f"{duration:>{width}.1f} ms{increase:>6.0f} MiB"
            print(row, flush=True)


if __name__ == "__main__":
    main()
