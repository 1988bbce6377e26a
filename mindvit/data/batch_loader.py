"""Batches made by data workers (threads) of our own: a source for ``mindspore.dataset.GeneratorDataset``.

A row that passes through operators of ``mindspore.dataset`` with Python functions is handed from thread to thread,
waits for the lock of the interpreter at each of them, and is copied twice (600 kB at 224 pixels). Here a data worker
writes an image into its place in the batch, and ``mindspore.dataset`` sees one row for each batch. The measurement is
in docs/architecture.md.
"""

import atexit
import os
import sys
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Lock, Thread, current_thread

import numpy as np

Sample = int | None
"""What a row of a batch is made from: an index; None for padding."""
MakeRow = Callable[[Sample, np.ndarray], tuple[np.generic, ...]]
"""Writes the image of a sample into an array, float32 (channels, height, width); returns its values of the other
columns. Data workers call it."""

_AHEAD = 2
"""Batches that are made before they are asked for. What ``mindspore.dataset`` prefetches comes on top."""


class BatchLoader:
    """The batches of steps, each made by all data workers together.

    The steps of an epoch are asked for in order. While one is waited for, the next ones of the same epoch are made. A
    data worker ends as soon as there is nothing to do, so none is left when an iteration ends, or is abandoned.

    An error of ``make_row`` is raised when its batch is asked for.

    Args:
        make_row: makes a row of a batch.
        samples_of: the samples of a step, as many as a batch has rows.
        steps_per_epoch: steps of an epoch.
        shape: channels, height and width of an image.
        num_workers: data workers.
        finish: gets the other columns of a batch, and returns those that the batch shall have; None keeps them.
        on_error: gets an error before it is raised: ``mindspore.dataset`` keeps only its text.
    """

    def __init__(
        self,
        make_row: MakeRow,
        samples_of: Callable[[int], Sequence[Sample]],
        steps_per_epoch: int,
        shape: tuple[int, int, int],
        num_workers: int,
        finish: Callable[..., tuple[np.ndarray, ...]] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.samples_of = samples_of
        self.steps_per_epoch = steps_per_epoch
        self.shape = shape
        self.num_workers = num_workers
        self.finish = finish
        self.on_error = on_error
        self._workers = _Workers(make_row)
        self._lock = Lock()
        self._planned: deque[_Batch] = deque()
        self._next_step = 0
        self._handed_out: deque[np.ndarray] = deque()
        self._free: list[np.ndarray] = []

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __getitem__(self, step: int) -> tuple[np.ndarray, ...]:
        """The batch of a step, counted through all epochs.

        Returns:
            Images, float32 (batch_size, channels, height, width), and the other columns. Nothing is written to
            the images as long as someone holds them.
        """
        with self._lock:  # Of two iterators at once, each gets its batches.
            return self._batch(int(step))

    def _batch(self, step: int) -> tuple[np.ndarray, ...]:
        self._reclaim()
        if not self._planned or self._planned[0].step != step:
            self._workers.forget()
            self._planned.clear()
            self._next_step = step
        end = (step // self.steps_per_epoch + 1) * self.steps_per_epoch
        while self._next_step < end and len(self._planned) <= _AHEAD:
            self._planned.append(self._plan(self._next_step))
            self._next_step += 1
        self._workers.start(self.num_workers)
        batch = self._planned.popleft()
        try:
            self._workers.wait_for(batch)
        except BaseException as error:
            self._planned.clear()  # Their rows were dropped.
            if self.on_error is not None:
                self.on_error(error)
            raise
        self._handed_out.append(batch.images)
        columns = tuple(map(np.array, zip(*batch.values, strict=True)))
        return batch.images, *(self.finish(*columns) if self.finish else columns)

    def _plan(self, step: int) -> "_Batch":
        samples = self.samples_of(step)
        images = self._free.pop() if self._free else np.empty((len(samples), *self.shape), np.float32)
        batch = _Batch(step, images, samples)
        self._workers.add(batch)
        return batch

    def _reclaim(self) -> None:
        """Takes back the arrays that nobody holds any more: the pages of new ones cost as much as normalization."""
        for _ in range(len(self._handed_out)):
            images = self._handed_out.popleft()
            is_held = sys.getrefcount(images) > 2  # This name, and the argument.
            (self._handed_out if is_held else self._free).append(images)
        while len(self._handed_out) > 2:  # Somebody collects batches.
            self._handed_out.popleft()


class _Batch:
    """A batch that is being made."""

    def __init__(self, step: int, images: np.ndarray, samples: Sequence[Sample]) -> None:
        self.step = step
        self.images = images
        self.samples = samples
        self.values: list[tuple[np.generic, ...]] = [()] * len(samples)
        self.missing = len(samples)
        self.errors: dict[int, BaseException] = {}
        """By row."""


class _Workers:
    """Threads that make the rows of batches, in order. They end when there are no more rows."""

    def __init__(self, make_row: MakeRow) -> None:
        self._make_row = make_row
        self._rows: deque[tuple[_Batch, int]] = deque()
        self._changed = Condition()
        self._threads: set[Thread] = set()
        self._is_closed = False
        _OPEN.add(self)

    def add(self, batch: _Batch) -> None:
        with self._changed:
            self._rows.extend((batch, row) for row in range(len(batch.samples)))

    def forget(self) -> None:
        """Drops the rows that nobody has begun."""
        with self._changed:
            self._rows.clear()

    def start(self, count: int) -> None:
        with self._changed:
            while self._rows and len(self._threads) < count and not self._is_closed:
                # A daemon, because the interpreter waits for all others before it calls what `atexit` has.
                thread = Thread(target=self._run, name="mindvit data worker", daemon=True)
                thread.start()
                self._threads.add(thread)

    def wait_for(self, batch: _Batch) -> None:
        """Waits until a batch is made.

        Raises:
            Exception: what ``make_row`` raised, for the first row that failed.
            RuntimeError: if the interpreter ends.
        """
        with self._changed:
            self._changed.wait_for(lambda: batch.missing == 0 or batch.errors or self._is_closed)
            if batch.errors:
                self._rows.clear()
                # Rows are begun in order. Once those that were begun are done, it is known which failed first.
                self._changed.wait_for(lambda: not self._threads)
                raise batch.errors[min(batch.errors)]
            if batch.missing:
                raise RuntimeError("the program ends")

    def close(self) -> None:
        """Ends the threads, after the images that they are at."""
        with self._changed:
            self._is_closed = True
            self._rows.clear()
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._rows:
                    self._threads.discard(current_thread())
                    self._changed.notify_all()
                    return
                batch, row = self._rows.popleft()
            try:
                batch.values[row] = self._make_row(batch.samples[row], batch.images[row])
            except BaseException as error:  # It is raised where the batch is asked for.
                batch.errors[row] = error
            with self._changed:
                batch.missing -= 1
                if batch.missing == 0 or batch.errors:
                    self._changed.notify_all()


_OPEN: weakref.WeakSet[_Workers] = weakref.WeakSet()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_OPEN.clear)  # The threads stay with the parent.


@atexit.register
def _close_all() -> None:
    # A thread that comes back from a decoder must still find an interpreter.
    for workers in list(_OPEN):
        workers.close()
