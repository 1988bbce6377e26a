"""Does work in threads ahead of who needs its results, in order and within bounds."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
_END = object()


def prefetched(source: Iterable[T], work: Callable[[T], R], num_workers: int, lookahead: int) -> Iterator[R]:
    """Yields ``work(item)`` for each item of a source, in order, computed ahead by threads.

    The source is read by a thread of its own, one item at a time, so it may be a video that is decoded on the way. No
    more than ``lookahead`` items and results are in memory. Closing the iterator ends the threads and the source.

    Args:
        source: the items.
        work: what is done with each; its exceptions are raised in its place, and end the iteration.
        num_workers: threads that work.
        lookahead: greatest number of items that are worked on or wait.
    """
    items = iter(source)
    reader, workers = ThreadPoolExecutor(1), ThreadPoolExecutor(num_workers)

    def task(reading: Future) -> R | object:
        item = reading.result()
        return _END if item is _END else work(item)

    def ask() -> Future:
        return workers.submit(task, reader.submit(next, items, _END))

    waiting = deque(ask() for _ in range(lookahead))
    try:
        while (result := waiting.popleft().result()) is not _END:
            waiting.append(ask())
            yield result
    finally:
        reader.shutdown(cancel_futures=True)
        workers.shutdown(cancel_futures=True)
        close = getattr(items, "close", None)
        if close is not None:
            close()
