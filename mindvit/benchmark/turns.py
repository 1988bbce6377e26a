"""Measures several processes in turns, so that what else the machine does falls on all of them alike."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from mindvit.benchmark.worker_process import WorkerProcess

_WARM_UP_STEPS = 1


@dataclass
class Rounds:
    """What the rounds found, one number a round."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    """Seconds per image of each contestant."""
    flops: list[float] = field(default_factory=list)
    """Speed of large matrix products in FLOP/s."""


def take_turns(
    workers: dict[str, WorkerProcess],
    peak: WorkerProcess | None,
    rounds: int,
    round_seconds: float,
    progress: Callable[[int], None] = lambda number: None,
) -> Rounds:
    """Measures each process in each round, and the peak of matrix products before and after them.

    Every second round goes in the opposite order. A round takes as many steps as fit into ``round_seconds``, at least
    one.

    Args:
        workers: the processes by the name of their contestant.
        peak: measures matrix products; None: they are not measured.
        rounds: number of rounds.
        round_seconds: seconds of a round and contestant.
        progress: called with the number of each round that is done.
    """
    found = Rounds({name: [] for name in workers})
    steps = {}
    for name, worker in workers.items():
        worker.ask("measure", steps=_WARM_UP_STEPS)
        steps[name] = max(1, round(round_seconds / worker.ask("measure", steps=1)["seconds"]))
    for number in range(rounds):
        names = list(workers) if number % 2 == 0 else list(reversed(workers))
        before = peak and peak.ask("flops")["flops"]
        for name in names:
            images = steps[name] * workers[name].started["images"]
            found.seconds[name].append(workers[name].ask("measure", steps=steps[name])["seconds"] / images)
        if peak is not None:
            found.flops.append(max(before, peak.ask("flops")["flops"]))
        progress(number + 1)
    return found


@dataclass(frozen=True)
class Spread:
    """A quantity over the rounds."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """The spread of values, at least one."""
        return cls(statistics.median(values), min(values), max(values))
