import threading
import time

import pytest

from mindvit.inference.prefetch import prefetched


def test_results_keep_the_order_of_the_items():
    def work(item):
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(prefetched(range(40), work, num_workers=4, lookahead=8)) == [item * item for item in range(40)]
    assert list(prefetched([], work, num_workers=1, lookahead=3)) == []


def test_no_more_than_the_lookahead_is_in_memory():
    taken = []

    def source():
        for item in range(100):
            taken.append(item)
            yield item

    results = prefetched(source(), lambda item: item, num_workers=2, lookahead=5)
    for done in range(1, 11):
        next(results)
        assert len(taken) <= done + 5
    results.close()


def test_an_error_comes_in_its_place():
    def work(item):
        if item == 3:
            raise ValueError("three")
        return item

    results = prefetched(range(10), work, num_workers=2, lookahead=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_an_error_of_the_source_is_raised():
    def source():
        yield 1
        raise OSError("gone")

    results = prefetched(source(), lambda item: item, num_workers=2, lookahead=4)
    assert next(results) == 1
    with pytest.raises(OSError, match="gone"):
        next(results)


def test_closing_ends_the_threads_and_the_source():
    closed, threads = [], threading.active_count()

    def source():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    results = prefetched(source(), lambda item: item, num_workers=3, lookahead=6)
    next(results)
    results.close()
    assert closed
    assert threading.active_count() == threads
