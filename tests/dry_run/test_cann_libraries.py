import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from mindvit.dry_run import cann_libraries
from mindvit.dry_run.cann_libraries import find_cann, provide_cann
from mindvit.errors import UserError


@pytest.fixture
def mindspore(tmp_path):
    """A package with two tiny libraries in place of the Ascend plugin. One asks for a symbol that nobody defines."""
    package = tmp_path / "mindspore"
    (package / "lib/plugin").mkdir(parents=True)
    sources = {"lib/libmindspore_ge_backend.so": "int f() { return 0; }", "lib/plugin/libmindspore_ascend.so.2": ""}
    sources["lib/plugin/libmindspore_ascend.so.2"] = "int aclrtMalloc(); int g() { return aclrtMalloc(); }"
    for name, source in sources.items():
        command = ["g++", "-shared", "-fPIC", "-xc", "-", "-o", package / name]
        subprocess.run(command, input=source, text=True, check=True)
    headers = package / "include/mindspore/ccsrc/plugin/ascend/res_manager/symbol_interface"
    headers.mkdir(parents=True)
    (headers / "acl_symbol.h").write_text("ORIGIN_METHOD(aclInit, aclError, const char *)\n")
    return package


@pytest.fixture
def cache(tmp_path):
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


def symbols(library):
    lines = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True).stdout.splitlines()
    return {line.split()[-1] for line in lines}


def test_stand_ins_define_what_the_plugin_asks_for(mindspore, cache):
    found = provide_cann(mindspore, "2.10.0", cache)
    assert not found.is_installed
    assert found.stand_ins.parent.name == "latest"
    names = symbols(found.stand_ins / "libopapi.so")
    assert {"aclrtMalloc", "aclInit", "aclnnInit", "aclrtGetSocName"} <= names
    assert (found.python_path / "hccl/sys_version.py").exists()
    # A function of another name would be loaded and never called.
    (waiting,) = (name for name in symbols(found.preloaded) if "ProcessReport" in name)
    plugin = Path(importlib.util.find_spec("mindspore").origin).parent / "lib/plugin/ascend"
    assert waiting in symbols(plugin / "libmindspore_ascend_res_manager.so")


def test_stand_ins_are_built_once_for_a_version_of_mindspore(mindspore, cache, monkeypatch):
    built = []
    monkeypatch.setattr(cann_libraries, "_build", lambda package, target: built.append(target) or target.mkdir())
    first, again = (provide_cann(mindspore, "2.10.0", cache) for _ in range(2))
    assert first == again
    assert len(built) == 1
    assert provide_cann(mindspore, "2.10.1", cache) != first
    assert len(built) == 2


def test_two_processes_may_build_at_once(mindspore, cache, monkeypatch):
    def build(package, target):
        target.mkdir()

    def build_while_another_does(package, target):
        monkeypatch.setattr(cann_libraries, "_build", build)
        provide_cann(mindspore, "2.10.0", cache)
        build(package, target)

    monkeypatch.setattr(cann_libraries, "_build", build_while_another_does)
    found = provide_cann(mindspore, "2.10.0", cache)
    folder = found.stand_ins.parents[1]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_missing_compiler_is_named_with_what_to_install(mindspore, cache, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="g\\+\\+ and readelf and nm cannot be found; install binutils g\\+\\+"):
        provide_cann(mindspore, "2.10.0", cache)


def test_a_mindspore_without_ascend_plugin_is_named(tmp_path, cache):
    with pytest.raises(UserError, match="has no Ascend plugin"):
        provide_cann(tmp_path, "2.10.0", cache)
    assert not any((tmp_path / "cache/mindvit").iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_named(mindspore, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(UserError, match="locked"):
        provide_cann(mindspore, "2.10.0", {"XDG_CACHE_HOME": str(tmp_path / "locked")})


def test_an_installed_cann_is_taken_and_nothing_built(tmp_path):
    (tmp_path / "lib64").mkdir()
    environment = {"ASCEND_HOME_PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert find_cann(environment) is None
    (tmp_path / "lib64/libascendcl.so").touch()
    assert find_cann(environment) == tmp_path
    assert provide_cann(tmp_path, "2.10.0", environment).is_installed
    assert not (tmp_path / "cache").exists()
