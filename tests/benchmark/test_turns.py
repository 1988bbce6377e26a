"""Measuring in turns."""

import pytest

from mindvit.benchmark.turns import Spread, take_turns


class Worker:
    """In place of a process: a step takes a fixed time."""

    def __init__(self, name, log, seconds=0.0, images=1, flops=()):
        self.name, self.log, self.seconds, self.flops = name, log, seconds, list(flops)
        self.started = {"images": images}

    def ask(self, action, **arguments):
        self.log.append((self.name, *arguments.values()))
        return {"flops": self.flops.pop(0)} if action == "flops" else {"seconds": self.seconds * arguments["steps"]}


def test_every_second_round_goes_in_the_opposite_order():
    log = []
    workers = {name: Worker(name, log, 1.0) for name in "abc"}
    take_turns(workers, None, 2, 0.0)
    assert [name for name, *_ in log[-6:]] == list("abccba")


def test_a_round_takes_as_many_steps_as_fit_and_at_least_one():
    log = []
    take_turns({"fast": Worker("fast", log, 0.1), "slow": Worker("slow", log, 5.0)}, None, 1, 1.0)
    assert log[-2:] == [("fast", 10), ("slow", 1)]


def test_seconds_are_those_of_an_image():
    rounds = take_turns({"a": Worker("a", [], 2.0, images=8)}, None, 3, 4.0)
    assert rounds.seconds == {"a": [0.25] * 3}
    assert rounds.flops == []


def test_the_peak_of_a_round_is_the_greater_of_before_and_after():
    peak = Worker("peak", [], flops=[5.0, 7.0, 9.0, 8.0])
    assert take_turns({"a": Worker("a", [], 1.0)}, peak, 2, 1.0).flops == [7.0, 9.0]


def test_a_spread_has_median_and_extremes():
    assert Spread.of([3.0, 1.0, 8.0]) == Spread(3.0, 1.0, 8.0)
    with pytest.raises(ValueError, match="median"):
        Spread.of([])
