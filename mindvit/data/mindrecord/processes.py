"""Writing several shards at a time, each in a process of its own."""

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

from mindvit.data.mindrecord.listing import Images
from mindvit.data.mindrecord.manifest import Shard
from mindvit.data.mindrecord.writer import Step, write_shard
from mindvit.errors import UserError

_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Task:
    """A shard to write."""

    split: str
    number: int
    """Its place among the shards of the split."""
    folder: Path
    shard: Shard
    images: Images


Finished = Callable[[Task, Shard], None]


def write_shards(tasks: list[Task], num_workers: int, step: Step, finished: Finished) -> None:
    """Writes shards, ``num_workers`` at a time; with one worker in this process.

    The processes end with this one, however it ends; a shard that is not finished then leaves nothing that counts.

    Args:
        tasks: the shards.
        num_workers: processes.
        step: told how many more images have been read.
        finished: told of each shard as soon as it is in its place.

    Raises:
        UserError: as ``write_shard``, or if a process dies.
    """
    if num_workers == 1:
        for task in tasks:
            finished(task, write_shard(task.folder, task.shard, task.images, step))
        return
    context = get_context("spawn")  # A forked process would inherit MindSpore's threads without their work.
    read, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(num_workers, context, _begin, (read, stop))
    try:
        _follow(pool, tasks, read, step, finished)
    except BrokenProcessPool as error:
        raise UserError(
            "a process of the conversion died (was there too little memory?); run it again, with a smaller "
            "--num_workers if need be: finished shards stay"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _follow(pool: ProcessPoolExecutor, tasks: list[Task], read: Synchronized, step: Step, finished: Finished) -> None:
    futures = {pool.submit(_write, task): task for task in tasks}
    waiting, told = set(futures), 0
    while waiting:
        done, waiting = wait(waiting, _LOOK_SECONDS, FIRST_COMPLETED)
        now = read.value
        step(now - told)
        told = now
        for future in done:
            finished(futures[future], future.result())


def _begin(read: Synchronized, stop: Event) -> None:
    """Prepares a process: the parent alone hears Ctrl-C, and its death ends this process too."""
    global _report
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def report(count: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        with read.get_lock():
            read.value += count

    _report = report


def _end_with_parent() -> None:
    connection.wait([parent_process().sentinel])
    os._exit(1)


_report: Step


def _write(task: Task) -> Shard:
    return write_shard(task.folder, task.shard, task.images, _report)
