import numpy as np
import pytest
from mindspore import Tensor, nn

from mindvit.training.gradient_sum import GradientSum, make_buckets

pytestmark = pytest.mark.eager


class Doubled(nn.Cell):
    """Stands for two ranks with equal gradients, and records the sizes of what is reduced."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def construct(self, x):
        self.sizes.append(x.shape)
        return x * 2


@pytest.mark.parametrize(("limit", "sizes"), [(100, [(13,)]), (8, [(7,), (6,)]), (1, [(6,), (1,), (2,), (4,)])])
def test_gradients_are_summed_in_buckets(rng, limit, sizes):
    shapes = [(2, 3), (), (2,), (1, 4)]
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    cell = GradientSum(shapes, limit)
    cell.all_reduce = Doubled()
    found = cell(tuple(map(Tensor, arrays)))
    assert cell.all_reduce.sizes == sizes
    for one, array in zip(found, arrays, strict=True):
        np.testing.assert_array_equal(one.asnumpy(), array + array)


@pytest.mark.parametrize(
    ("sizes", "buckets"), [((9,), ((0, 1),)), ((1, 9, 1, 1), ((0, 1), (1, 2), (2, 4))), ((4, 4, 4), ((0, 2), (2, 3)))]
)
def test_neighbours_share_a_bucket_while_they_fit(sizes, buckets):
    assert make_buckets(sizes, 8) == buckets
