"""Writing several shards in parallel, each in its own process."""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

from mindvit.data.mindrecord.listing import ImageFiles
from mindvit.data.mindrecord.manifest import Shard
from mindvit.data.mindrecord.writer import OnProgress, write_shard
from mindvit.errors import UserError

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Task:
    """A shard to write."""

    split: str
    index: int
    """Index of the shard in its split."""
    folder: Path
    shard: Shard
    images: ImageFiles


OnDone = Callable[[Task, Shard], None]
"""Called with a task and the written shard, as soon as the shard is in its place."""


def write_shards(tasks: list[Task], num_workers: int, on_progress: OnProgress, on_done: OnDone) -> None:
    """Writes shards in ``num_workers`` processes. With one worker, the current process writes them.

    The processes exit when this process exits for any reason. An unfinished shard then leaves only temporary files.

    Args:
        tasks: the shards.
        num_workers: number of processes.
        on_progress: called with the number of newly read images.
        on_done: called for each shard as soon as it is in its place.

    Raises:
        UserError: as ``write_shard``, or if a process dies.
    """
    if num_workers == 1:
        for task in tasks:
            on_done(task, write_shard(task.folder, task.shard, task.images, on_progress))
        return
    # Not "fork": a forked process would inherit the state of MindSpore's threads, but not the threads.
    context = get_context("spawn")
    num_read, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(num_workers, context, _init_process, (num_read, stop))
    try:
        _run_tasks(pool, tasks, num_read, on_progress, on_done)
    except BrokenProcessPool as error:
        raise UserError(
            "a process of the conversion died, possibly for lack of memory; run the conversion again, with a smaller "
            "--num_workers if necessary. Finished shards are kept"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _run_tasks(
    pool: ProcessPoolExecutor, tasks: list[Task], num_read: Synchronized, on_progress: OnProgress, on_done: OnDone
) -> None:
    futures = {pool.submit(_write, task): task for task in tasks}
    pending, reported = set(futures), 0
    while pending:
        done, pending = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
        count = num_read.value
        on_progress(count - reported)
        reported = count
        for future in done:
            on_done(futures[future], future.result())


def _init_process(num_read: Synchronized, stop: Event) -> None:
    """Sets up a process: it ignores Ctrl-C, which the parent handles, and exits when the parent dies."""
    global _on_progress
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()

    def on_progress(count: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        with num_read.get_lock():
            num_read.value += count

    _on_progress = on_progress


def _exit_with_parent() -> None:
    connection.wait([parent_process().sentinel])
    os._exit(1)


_on_progress: OnProgress


def _write(task: Task) -> Shard:
    return write_shard(task.folder, task.shard, task.images, _on_progress)
