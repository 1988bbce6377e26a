import numpy as np

from mindvit.workers import sum_over_workers


def test_one_workers_sum_is_its_own():
    np.testing.assert_array_equal(sum_over_workers(np.array([1.0, 2.0])), [1.0, 2.0])
