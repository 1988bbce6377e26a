"""The wheel and the sdist that ``python -m build`` makes, and the files that the Dockerfile copies."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from zipfile import ZipFile

import pytest

from tests.conftest import ROOT

_LEFT_OUT = shutil.ignore_patterns(
    ".*", "__pycache__", "tests", "output", "dataset", "ckpt", "build", "*.egg-info", "node_modules", "site"
)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The folder with the wheel and the sdist of a copy of the project."""
    folder = tmp_path_factory.mktemp("packaging")
    shutil.copytree(ROOT, folder / "project", ignore=_LEFT_OUT)
    # An environment of requirements/dev.txt builds without a network.
    isolation = ["--no-isolation"] if int(version("setuptools").partition(".")[0]) >= 77 else []
    built = subprocess.run(
        [sys.executable, "-m", "build", *isolation, "--outdir", folder / "dist", folder / "project"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(distributions):
    return next(distributions.glob("mindvit-*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(wheel):
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    sources = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "mindvit").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    recipes = {f"mindvit/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    about = {name for name in names if ".dist-info/" in name}
    assert names - about == sources | recipes
    for required in ("licenses/LICENSE", "licenses/NOTICE", "entry_points.txt"):
        assert any(name.endswith(required) for name in about), required


@pytest.mark.slow
def test_the_wheel_names_its_requirements(wheel):
    with ZipFile(wheel) as archive:
        about = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    extras = {path.stem for path in (ROOT / "requirements").glob("*.txt")}
    assert set(re.findall(r"^Provides-Extra: (.*)$", about, re.MULTILINE)) == extras
    assert re.search(r"^Requires-Dist: mindspore<2.11,>=2.10$", about, re.MULTILINE)
    assert re.search(r"^Requires-Dist: gradio.*; extra == .demo.$", about, re.MULTILINE)


@pytest.mark.slow
def test_the_sdist_builds_again(distributions):
    with tarfile.open(next(distributions.glob("mindvit-*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"pyproject.toml", "setup.py", "LICENSE", "NOTICE", "README.md", "requirements.txt", "configs/digits.yaml"}
    assert needed | {f"requirements/{path.name}" for path in (ROOT / "requirements").glob("*.txt")} <= names
    assert not any(name.startswith("tests") for name in names)


@pytest.mark.slow
def test_the_installed_package_runs_from_any_folder(wheel, tmp_path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with ZipFile(wheel) as archive:
        archive.extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*arguments):
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)

    code = """if True:
        import sys
        from pathlib import Path
        import mindvit
        site, *kernels = sys.argv[1:]
        assert Path(mindvit.__file__).is_relative_to(site), mindvit.__file__
        from mindvit import cli
        for name in cli.COMMANDS:
            sys.argv = ["mindvit", name, "--help"]
            try:
                cli.main()
            except SystemExit as end:
                assert not end.code, name
        from mindvit.data.imagenet import imagenet_classes
        from mindvit.parsing import load_recipe
        assert len(imagenet_classes().names) == 1000
        sources = (Path(mindvit.__file__).parent / "dry_run").glob("*.cc")
        assert {path.stem for path in sources} == {"cann_symbols", "waiting"}
        sources = (Path(mindvit.__file__).parent / "native_kernels").glob("*.[ch]*")
        assert {path.name for path in sources} == set(kernels)
        assert load_recipe("configs/digits.yaml").train.epochs == 60
        """
    kernels = [path.name for path in (ROOT / "mindvit/native_kernels").glob("*.[ch]*")]
    result = run("-c", code, site, *kernels)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("usage: mindvit ") >= 8
    assert not list(elsewhere.iterdir()), "help writes no file"


def test_the_dockerfile_copies_files_that_exist_and_are_not_ignored():
    copied = [
        name
        for line in re.findall(r"^COPY (.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        for name in line.split()
    ]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == kept
    assert all((ROOT / name).exists() for name in copied)
