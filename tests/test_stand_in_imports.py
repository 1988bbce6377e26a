import json
import subprocess
import sys

import pytest

from mindvit.stand_in_imports import import_stand_ins, is_help_requested
from tests.conftest import ROOT
from tests.help_commands import help_pages

SCRIPT = """
import json, runpy, sys
from mindvit.stand_in_imports import import_stand_ins
import_stand_ins()
pages = runpy.run_path("tests/help_commands.py")["help_pages"]()
print(json.dumps([pages, hasattr(sys.modules["mindspore"], "__version__")]))
"""


def test_help_is_the_same_without_mindspore():
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    pages, has_mindspore = json.loads(done.stdout)
    assert not has_mindspore
    assert pages == help_pages()
    assert all(page for page in pages.values())


@pytest.mark.parametrize("program", ["train.py", "infer.py"])
def test_programs_print_help_without_importing_mindspore(program):
    command = [sys.executable, "-X", "importtime", program, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.stdout.startswith(f"usage: {program}")
    assert "mindspore._c_expression" not in done.stderr


def test_only_a_request_for_help_has_stand_ins():
    assert all(map(is_help_requested, (["--help"], ["-h"], ["--a", "b", "--help", "all"], ["--help=loss"])))
    assert not any(map(is_help_requested, ([], ["help"], ["--helper"], ["--image", "a-h"])))


def test_a_process_that_has_mindspore_keeps_it():
    before = list(sys.meta_path)
    import_stand_ins()
    assert sys.meta_path == before
