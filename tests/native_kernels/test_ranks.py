"""Sums over several processes in memory that they share: right, equal in each, and never waiting for one that ended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("summing_rank.py")


@pytest.fixture
def start(native_kernels):
    """Starts processes that make the given numbers of sums, and returns them once they have joined."""
    started = []

    def start(*sums):
        file = os.memfd_create("test")
        for rank, count in enumerate(sums):
            command = [sys.executable, SCRIPT, native_kernels, *map(str, (file, rank, len(sums), count))]
            pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
            started.append(subprocess.Popen(command, text=True, pass_fds=[file], **pipes))
        os.close(file)
        assert [process.stdout.readline() for process in started] == ["joined\n"] * len(sums)
        return started

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ranks", [2, 3])
def test_sums_are_right_and_equal_bit_for_bit(start, ranks):
    found = [finish(process) for process in let_all_go(start(*[4] * ranks))]
    assert all(code == 0 for code, _, _ in found), found
    assert len(found[0][1].splitlines()) == 4
    assert len({out for _, out, _ in found}) == 1


def test_a_rank_that_ended_is_an_error_on_the_others(start):
    found = [finish(process) for process in let_all_go(start(2, 1, 2))]
    assert [(code, len(out.splitlines()), err.strip()) for code, out, err in found] == [
        (1, 1, "a rank has ended"),
        (0, 1, ""),
        (1, 1, "a rank has ended"),
    ]


def let_all_go(processes):
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    return processes


def finish(process):
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err
