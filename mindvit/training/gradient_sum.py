"""Sums gradients over the ranks in a few collectives, because each takes milliseconds on a CPU, whatever its size."""

import math
from collections.abc import Sequence

from mindspore import nn, ops

_BUCKET_VALUES = 25 * 2**20 // 4
"""Values of a bucket: 25 MB of float32, as in PyTorch's DistributedDataParallel."""


class GradientSum(nn.Cell):
    """Sums gradients over all ranks, joined to buckets.

    Input: the gradients, float32, in the order of the shapes. Output: their sums, in the same order and shapes.

    Args:
        shapes: shape of each gradient.
        bucket_values: greatest number of values in a bucket; a larger gradient has a bucket of its own.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], bucket_values: int = _BUCKET_VALUES) -> None:
        super().__init__(auto_prefix=False)
        self.shapes = tuple(map(tuple, shapes))
        self.sizes = tuple(math.prod(shape) for shape in self.shapes)
        self.buckets = make_buckets(self.sizes, bucket_values)
        self.all_reduce = ops.AllReduce()

    def construct(self, gradients):
        sums = ()
        for first, end in self.buckets:
            parts = ()
            for index in range(first, end):
                parts = parts + (gradients[index].reshape(-1),)  # noqa: RUF005 (graph mode parses no star)
            joined = self.all_reduce(parts[0] if end - first == 1 else ops.concat(parts))
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
