"""Sums tensors over the ranks of a CPU job: in shared memory on one machine, else in a few collectives."""

import math
from collections.abc import Sequence

from mindspore import nn, ops

from mindvit.native_kernels.shared_sums import ranks_share_memory
from mindvit.ops.operation import native_kernel

_BUCKET_VALUES = 25 * 2**20 // 4
"""Values of a bucket: 25 MB of float32, as in PyTorch's DistributedDataParallel."""


class GradientSum(nn.Cell):
    """Sums tensors over all ranks, in one pass through memory that the ranks share if they are on one machine.

    Otherwise the tensors are joined to buckets, because each of MindSpore's collectives takes milliseconds on a CPU,
    whatever its size. All ranks create the cell together, and call it the same number of times.

    Input: the tensors, float32, in the order of the shapes. Output: their sums, in the same order and shapes.

    Args:
        shapes: shape of each tensor.
        bucket_values: greatest number of values in a bucket; a larger tensor has a bucket of its own.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], bucket_values: int = _BUCKET_VALUES) -> None:
        super().__init__(auto_prefix=False)
        self.shapes = tuple(map(tuple, shapes))
        self.sizes = tuple(math.prod(shape) for shape in self.shapes)
        self.buckets = make_buckets(self.sizes, bucket_values)
        self.in_shared_memory = ranks_share_memory()
        if self.in_shared_memory:
            self.native = native_kernel("sum_over_ranks", lambda *shapes: shapes, outputs=len(self.shapes))
        self.all_reduce = ops.AllReduce()

    def construct(self, tensors):
        if self.in_shared_memory:
            return self.native(*tensors)
        sums = ()
        for first, end in self.buckets:
            parts = ()
            for index in range(first, end):
                parts = parts + (tensors[index].reshape(-1),)  # noqa: RUF005 (graph mode parses no star)
            joined = parts[0] if end - first == 1 else ops.concat(parts)
            if first > 0:  # Collectives that wait for nothing could start in another order on each rank.
                joined = ops.depend(joined, sums[-1])
            joined = self.all_reduce(joined)
            start = 0
            for index in range(first, end):
                part = joined[start : start + self.sizes[index]]
                sums = sums + (part.reshape(self.shapes[index]),)  # noqa: RUF005
                start = start + self.sizes[index]
        return sums


def make_buckets(sizes: Sequence[int], bucket_values: int) -> tuple[tuple[int, int], ...]:
    """Joins neighbours to buckets: the index of the first of each, and the index after the last."""
    buckets, first, total = [], 0, 0
    for index, size in enumerate(sizes):
        if index > first and total + size > bucket_values:
            buckets.append((first, index))
            first, total = index, 0
        total += size
    return (*buckets, (first, len(sizes)))
