import numpy as np

from mindvit.distributed import all_reduce_sum


def test_one_workers_sum_is_its_own():
    np.testing.assert_array_equal(all_reduce_sum(np.array([1.0, 2.0])), [1.0, 2.0])
