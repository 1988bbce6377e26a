"""The library of native kernels is built once, safely, and only where it can be."""

import stat
import subprocess
import sys

import pytest

from mindvit.errors import UserError
from mindvit.files import FileError
from mindvit.native_kernels.kernel_library import (
    NoNativeKernelsError,
    available_threads,
    load_kernels,
)
from mindvit.runtime import choose_native_kernels
from tests.conftest import ROOT


def test_a_missing_compiler_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoNativeKernelsError, match=r"install g\+\+"):
        load_kernels({"XDG_CACHE_HOME": str(tmp_path)})
    with pytest.raises(NoNativeKernelsError, match="my-compiler cannot be found"):
        load_kernels({"XDG_CACHE_HOME": str(tmp_path), "CXX": "my-compiler -v"})


def test_a_compiler_that_fails_leaves_nothing_and_is_quoted(tmp_path):
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\necho 'no such processor' >&2\nexit 1\n")
    compiler.chmod(0o755)
    with pytest.raises(NoNativeKernelsError, match="cannot build the native kernels: no such processor"):
        load_kernels({"XDG_CACHE_HOME": str(tmp_path / "cache"), "CXX": str(compiler)})
    assert not list((tmp_path / "cache/mindvit/native").iterdir())


def test_a_folder_that_others_can_write_to_is_refused(native_kernels, tmp_path):
    folder = tmp_path / "mindvit/native"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(FileError, match="other users can write"):
        load_kernels({"XDG_CACHE_HOME": str(tmp_path)})


def test_two_processes_that_start_at_once_leave_one_library(native_kernels, tmp_path):
    compiler = tmp_path / "compiler"
    copies = f'for word; do [ "$word" = -ldl ] || out=$word; done; sleep 1; cp {native_kernels} "$out"'
    compiler.write_text(f"#!/bin/sh\n{copies}\n")
    compiler.chmod(0o755)
    code = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from mindvit.native_kernels.kernel_library import load_kernels\n"
        "print(load_kernels({**os.environ, 'XDG_CACHE_HOME': sys.argv[1], 'CXX': sys.argv[2]}))"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(compiler)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate(timeout=300)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0]
    (path,) = (tmp_path / "mindvit/native").iterdir()
    assert printed == {f"{path}\n"}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_threads_follow_the_environment_within_the_cores():
    cores = available_threads({})
    assert available_threads({"OMP_NUM_THREADS": "1"}) == 1
    assert available_threads({"OMP_NUM_THREADS": "4096"}) == cores
    assert available_threads({"OMP_NUM_THREADS": "two"}) == cores


def no_compiler():
    raise NoNativeKernelsError("no compiler")


def test_native_kernels_are_for_float32_on_a_cpu(tmp_path):
    assert choose_native_kernels("auto", "CPU", "O0", lambda: tmp_path) == str(tmp_path)
    assert choose_native_kernels(True, "CPU", "O0", lambda: tmp_path) == str(tmp_path)
    for device, amp_level in (("Ascend", "O2"), ("GPU", "O0"), ("CPU", "O2")):
        assert choose_native_kernels("auto", device, amp_level, no_compiler) is None
        with pytest.raises(UserError, match=r"runtime.native_kernels true: they"):
            choose_native_kernels(True, device, amp_level, no_compiler)
    assert choose_native_kernels(False, "CPU", "O0", no_compiler) is None


def test_without_a_compiler_auto_is_slower_with_a_note_and_true_an_error():
    with pytest.warns(UserWarning, match="no compiler. Without native kernels"):
        assert choose_native_kernels("auto", "CPU", "O0", no_compiler) is None
    with pytest.raises(UserError, match="no compiler; set it to auto or false"):
        choose_native_kernels(True, "CPU", "O0", no_compiler)
