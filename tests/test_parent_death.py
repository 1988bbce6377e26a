"""Each test kills real processes: a launcher, its msrun and a rank, without MindSpore."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the death of a parent")

# A rank that is told of its launcher before ("early") or after ("late") its parent is killed.
RANK = """
import os, sys, time
from mindvit.parent_death import end_with_launcher

folder, when = sys.argv[1:]
msrun = os.getppid()
if when == "early":
    end_with_launcher()
open(f"{folder}/rank_{when}", "w").write(str(os.getpid()))
while os.getppid() == msrun:
    time.sleep(0.01)
time.sleep(0.2)
if when == "late":
    end_with_launcher()
open(f"{folder}/survived_{when}", "w").close()
"""
MSRUN = """
import os, subprocess, sys
from pathlib import Path

os.environ["MS_ROLE"] = "MS_WORKER"
ranks = [subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1], when]) for when in ("early", "late")]
Path(sys.argv[1], "msrun").write_text(str(os.getpid()))
for rank in ranks:
    rank.wait()
"""
LAUNCHER = """
import os, signal, subprocess, sys, time
from functools import partial
from mindvit.parent_death import end_with_parent, name_launcher

start = {"env": name_launcher(), "preexec_fn": partial(end_with_parent, signal.SIGKILL, os.getpid())}
subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1], sys.argv[3]], **start).wait()
"""


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("killed", ["launcher", "msrun"])
def test_no_rank_survives_its_launcher_or_msrun(tmp_path, killed):
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER, str(tmp_path), MSRUN, RANK], cwd=ROOT)
    files = [tmp_path / name for name in ("msrun", "rank_early", "rank_late")]
    wait_for(lambda: all(file.exists() and file.read_text() for file in files))
    msrun, *ranks = (int(file.read_text()) for file in files)
    assert all(map(is_running, (msrun, *ranks)))
    os.kill(launcher.pid if killed == "launcher" else msrun, signal.SIGKILL)
    launcher.wait(30)
    wait_for(lambda: not any(map(is_running, (msrun, *ranks))))
    assert not list(tmp_path.glob("survived_*"))


def run(code, **environment):
    command = [sys.executable, "-c", f"import os, signal\nfrom mindvit.parent_death import *\n{code}\nprint('alive')"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True).stdout


def test_a_process_whose_parent_ended_before_it_asked_ends_at_once():
    assert run("end_with_parent(signal.SIGKILL, os.getppid())") == "alive\n"
    assert run("end_with_parent(signal.SIGKILL, os.getpid())") == ""


def test_only_ranks_of_a_launcher_end_with_it():
    assert run("end_with_launcher()", MINDVIT_LAUNCHER_PID="1") == "alive\n", "not a rank"
    assert run("end_with_launcher()", MS_ROLE="MS_WORKER") == "alive\n", "a rank of the user's own msrun"
    assert run("end_with_launcher()", MS_ROLE="MS_WORKER", MINDVIT_LAUNCHER_PID="1") == ""


def test_a_rank_looks_for_its_launcher_before_mindspore_is_imported():
    code = (
        "import sys\nfrom mindvit import cli\ncli.end_with_launcher = lambda: print('mindspore' in sys.modules)\n"
        "sys.argv = ['mindvit', '--version']\ncli.main()"
    )
    assert run(code).splitlines()[0] == "False"
