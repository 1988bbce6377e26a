"""The harness finds what it must find."""

import json
import random
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest

from mindvit.errors import UserError
from tests.fuzz import campaign, worker
from tests.fuzz.campaign import Campaign
from tests.fuzz.mutations import mutated_bytes, mutated_json
from tests.fuzz.sandbox import ForbiddenActionError, confined_to
from tests.fuzz.target import FileTarget, TextTarget


@pytest.mark.parametrize("action", ["write", "link", "program", "handled"])
def test_what_code_may_not_do_is_noticed(tmp_path, action):
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path)
    with pytest.raises(ForbiddenActionError), confined_to(inside):
        if action == "write":
            (tmp_path / "x").write_text("")
        elif action == "link":
            (inside / "link/x").write_text("")
        elif action == "program":
            subprocess.run(["true"], check=False)
        else:
            with suppress(BaseException):
                (tmp_path / "inside/../y").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside"]
    with confined_to(inside):
        (inside / "x").write_text("")


def _run(tmp_path, check, target=None):
    """The reports of a block of ten cases, of which the intact one is accepted."""
    calls, reports = [], []

    def make(folder):
        (folder / "intact").mkdir()
        (folder / "intact" / "x").write_bytes(b"intact")

    def check_all_but_the_first(folder):
        calls.append(folder)
        if len(calls) > 1:
            check(folder)

    target = target or FileTarget("files", check_all_but_the_first, make, cases=10)
    worker.Runner(target, tmp_path, reports.append).run("seed")
    return reports


def _refuse(folder):
    raise UserError("it is wrong")


def _refuse_too_long(folder):
    raise UserError("x" * 50_000)


def _crash(folder):
    raise KeyError("x")


def _write_outside(folder):
    (folder.parent / "x").write_text("")


def _allocate(folder):
    np.empty(2**33, np.uint8)


def _hide_too_much_memory(folder):
    try:
        _allocate(folder)
    except MemoryError as error:
        raise UserError("it is corrupt") from error


def test_cases_are_counted(tmp_path):
    (counts,) = _run(tmp_path, lambda folder: None)
    assert (counts["accepted"], counts["refused"]) == (10, 0)
    (counts,) = _run(tmp_path, _refuse)
    assert (counts["accepted"], counts["refused"]) == (0, 10)


@pytest.mark.parametrize("check", [_refuse_too_long, _crash, _write_outside, _allocate, _hide_too_much_memory])
def test_what_is_neither_accepted_nor_refused_is_a_finding(tmp_path, check):
    *findings, counts = _run(tmp_path, check)
    assert [counts["accepted"], counts["refused"], len(findings)] == [0, 0, 10]


def test_a_generated_text_that_is_a_finding_is_shrunk(tmp_path):
    from hypothesis import strategies as st

    def check(folder):
        if len((folder / "x.txt").read_bytes()) > 2:
            raise KeyError

    finding, _ = _run(tmp_path, check, TextTarget("texts", check, "x.txt", st.text(), "", examples=100))
    assert "KeyError" in finding["traceback"]
    assert len((tmp_path / "texts/finding-1/x.txt").read_bytes()) == 3


_DYING_WORKER = """
import json, os, sys
job = json.loads(sys.argv[1])
pipe = os.fdopen(job["pipe"], "w", buffering=1)
def report(**content):
    print(json.dumps(content), file=pipe)
for target, blocks in job["targets"].items():
    report(target=target)
    for block in range(job["first"].get(target, 0), blocks):
        report(begin=block)
        if block == 1:
            print("of a crash", file=sys.stderr, flush=True)
            os._exit(3)
        report(block="", peak=1, accepted=1, refused=2, slowest=0.5)
report(done=True)
"""


def test_a_worker_that_dies_is_a_finding_and_the_other_blocks_run(tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "_WORKER", (sys.executable, "-c", _DYING_WORKER))
    counts = Campaign({"images": 3, "names": 1}, folder=tmp_path).run()
    assert [counts["images"].accepted, counts["images"].refused, counts["images"].num_findings] == [2, 4, 1]
    assert "ended with code 3\nof a crash" in (tmp_path / "images-0-1/traceback.txt").read_text()
    assert [counts["names"].accepted, counts["names"].num_findings] == [1, 0]


def test_a_worker_that_cannot_start_is_an_error(monkeypatch):
    monkeypatch.setattr(campaign, "_WORKER", (sys.executable, "-c", "import nothing_of_this_name"))
    with pytest.raises(RuntimeError, match="nothing_of_this_name"):
        Campaign({"images": 1}).run()


def test_the_seed_determines_the_cases():
    data, stored = bytes(range(256)) * 4, {"a": [1, 2], "b": {"c": "x"}}
    for mutate, intact in ((mutated_bytes, data), (mutated_json, stored)):
        first, again, other = (
            [json.dumps(mutate(intact, rng), default=repr) for _ in range(50)] for rng in map(random.Random, (1, 1, 2))
        )
        assert first == again != other
        assert len(set(first)) > 20
