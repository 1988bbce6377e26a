"""Printing without a reader, without a terminal, and to a terminal that is not UTF-8."""

import json
import os
import pty
import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Runs a command that prints much more than a pipe holds, and then writes a file.
PROBE = """
import sys
from mindvit import cli
from mindvit.command import Command

def run(*given):
    for line in range(20_000):
        print("a line of output", line)
    print("a line of errors", file=sys.stderr)
    with open("done", "w") as file:
        file.write("done")

cli.COMMANDS["probe"] = Command("Probes.", "", run, prints_result=sys.argv[1] == "True")
cli.run_command("probe", [])
"""


def start(code, *arguments, **options):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize(("prints_result", "code"), [(True, 128 + signal.SIGPIPE), (False, 0)])
@pytest.mark.parametrize("buffering", ["", "1"])
def test_a_command_works_to_its_end_after_its_reader_has_ended(tmp_path, prints_result, code, buffering):
    job = start(PROBE, prints_result, cwd=tmp_path, stdout=subprocess.PIPE, env={"PYTHONUNBUFFERED": buffering})
    assert job.stdout.readline() == b"a line of output 0\n"
    job.stdout.close()
    assert job.stderr.read() == b"a line of errors\n", "no traceback, also not at the end of the process"
    assert job.wait() == code
    assert (tmp_path / "done").exists()


def test_a_command_works_to_its_end_after_its_terminal_is_gone(tmp_path):
    terminal, end = pty.openpty()
    job = start(PROBE, False, cwd=tmp_path, stdout=end)
    os.close(end)
    os.read(terminal, 10)
    os.close(terminal)
    assert job.stderr.read() == b"a line of errors\n"
    assert job.wait() == 0
    assert (tmp_path / "done").exists()


def test_a_file_does_not_take_the_number_of_a_stream_that_was_closed(tmp_path):
    shell = f"exec {sys.executable} -c '{PROBE}' False <&- >&- 2>&-"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(["sh", "-c", shell], cwd=tmp_path, env=environment, check=False).returncode == 0
    assert (tmp_path / "done").read_text() == "done"


def test_a_full_disk_behind_standard_output_is_reported(tmp_path):
    with open("/dev/full", "w") as full:
        job = start(PROBE, False, cwd=tmp_path, stdout=full)
        assert b"error: the disk is full" in job.stderr.read()
    assert job.wait() == 2


PRINT_NAMES = """
from mindvit import cli
from mindvit.command import Command
from mindvit.errors import UserError
from mindvit.strict_json import dump_json

def run(*given):
    name = "caf\\u00e9 \\U0001f415 \\udcff.jpg"
    print(name)
    print(dump_json({"name": name}))
    raise UserError(f"cannot read {name}")

cli.COMMANDS["probe"] = Command("Probes.", "", run)
cli.run_command("probe", [])
"""


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_any_file_name_can_be_printed_on_any_terminal_and_json_stays_json(encoding):
    job = start(PRINT_NAMES, stdout=subprocess.PIPE, env={"PYTHONIOENCODING": encoding, "LC_ALL": "C"})
    out, err = job.communicate()
    assert job.returncode == 2
    name, text = out.decode(encoding).splitlines()
    dog = {"ascii": "caf\\u00e9 \\ud83d\\udc15", "utf-8": "café 🐕"}[encoding]
    assert name == f"{dog} \\udcff.jpg"
    assert err.decode(encoding) == f"error: cannot read {dog} \\udcff.jpg\n"
    assert json.loads(text) == {"name": "café 🐕 \udcff.jpg"}
