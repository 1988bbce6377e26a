"""The width of the terminal, and texts that fit it."""

import fcntl
import io
import os
import pty
import struct
import termios

import pytest

from mindvit.console import fit_groups, fit_text, terminal_columns


@pytest.fixture
def terminal():
    master, slave = pty.openpty()
    stream = open(slave, "w")  # noqa: SIM115 (closed below)

    def of_width(columns):
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        return stream

    yield of_width
    stream.close()
    os.close(master)


@pytest.mark.parametrize(("columns", "expected"), [(100, 100), (60, 60), (10, 40), (0, 80)])
def test_the_width_is_that_of_the_terminal(terminal, columns, expected):
    assert terminal_columns(terminal(columns)) == expected


def test_a_file_has_no_width_unless_the_launcher_shows_it(monkeypatch):
    assert terminal_columns(io.StringIO()) is None
    monkeypatch.setenv("MINDVIT_ON_SCREEN", "1")
    monkeypatch.setenv("COLUMNS", "72")
    assert terminal_columns(io.StringIO()) == 72


def test_a_text_for_a_file_stays_as_it_is():
    assert fit_text("a " * 200, None) == "a " * 200


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_long_lines_are_broken_at_spaces_below_their_column(columns):
    lines = fit_text(f"data       {'word ' * 30}end\nshort", columns).split("\n")
    assert max(map(len, lines)) < columns
    assert lines[-1] == "short"
    assert all(line.startswith(" " * 11 + "word") or line.strip() == "end" for line in lines[1:-1])
    assert " ".join(" ".join(lines).split()) == "data " + "word " * 30 + "end short"


def test_a_word_that_fits_no_line_is_not_torn():
    path = "/a/" + "b" * 100
    assert path in fit_text(f"see {path} there", 60).replace("\n", " ").split()


GROUPS = [["epoch 1/3", "loss 1.0", "lr 0.1"], ["val loss 2.0", "Top-1 50 %"]]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (None, "epoch 1/3  loss 1.0  lr 0.1  val loss 2.0  Top-1 50 %"),
        (80, "epoch 1/3  loss 1.0  lr 0.1  val loss 2.0  Top-1 50 %"),
        (40, "epoch 1/3  loss 1.0  lr 0.1\n  val loss 2.0  Top-1 50 %"),
        (24, "epoch 1/3  loss 1.0\n  lr 0.1\n  val loss 2.0\n  Top-1 50 %"),
    ],
)
def test_what_belongs_together_stays_on_a_line(columns, expected):
    assert fit_groups(GROUPS, columns, 2) == expected
