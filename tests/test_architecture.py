"""Imports point one way, without cycles, as docs/architecture.md says."""

import ast
import re
from collections import Counter
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.conftest import ROOT

# From the bottom up; a package or module may import those below it, and itself.
LAYERS = [
    [
        "bounded_yaml",
        "console",
        "errors",
        "json_schema",
        "parent_death",
        "printable",
        "processor",
        "stand_in_imports",
        "standard_streams",
        "strict_json",
        "text_columns",
    ],
    ["classes", "config", "csv_text", "distributed", "files", "find_recipe", "ops", "run_metrics"],
    ["download", "models", "user_cache"],
    ["native_kernels"],
    ["analysis", "data", "dry_run", "graph_cache", "losses", "option_names", "runtime"],
    ["weights"],
    ["factory"],
    ["visualize"],
    ["evaluation"],
    ["conversion", "extraction", "inference", "training"],
    ["help_pages"],
    ["parsing"],
    ["clear_cache", "demo", "dry_run_command", "dry_run_worker", "export", "launch", "report"],
    ["benchmark", "benchmark_worker"],
    ["command"],
    ["command_table"],
    ["cli"],
    ["__main__"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = [path for path in sorted((ROOT / "mindvit").rglob("*.py")) if path != ROOT / "mindvit/__init__.py"]
# Each package of weights formats and layouts, callbacks and so on is below the package that holds it, or beside it.
SHARED_NAMES = {"__init__", "__main__"}


def imports(path):
    """Modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def home(path):
    return path.relative_to(ROOT / "mindvit").parts[0].removesuffix(".py")


def module(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    for name in imports(path):
        if name.startswith("mindvit."):
            other = name.split(".")[1]
            assert other == home(path) or LEVEL[other] < LEVEL[home(path)], f"{path} imports {name}"


def test_no_modules_import_each_other_in_a_circle():
    own = {module(path): path for path in FILES}
    graph = {name: {other for other in imports(path) if other in own} for name, path in own.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_formats_of_weights_know_nothing_of_what_uses_them():
    for package, below in (("formats", ("formats",)), ("layouts", ("layouts",))):
        for path in (ROOT / "mindvit/weights" / package).glob("*.py"):
            for name in imports(path):
                if name.startswith("mindvit.weights."):
                    assert name.split(".")[2] in below, f"{path} imports {name}"


def test_no_two_modules_share_a_file_name():
    counts = Counter(path.stem for path in FILES)
    assert not {name for name, count in counts.items() if count > 1} - SHARED_NAMES


def test_models_and_ops_import_nothing_but_mindspore_and_themselves():
    standard = {"collections", "contextlib", "dataclasses", "difflib", "fnmatch", "functools", "math", "re", "typing"}
    standard |= {"mindspore", "types"}
    for package in ("models", "ops"):
        for path in (ROOT / "mindvit" / package).glob("*.py"):
            for name in imports(path):
                own = name.startswith(("mindvit.models", "mindvit.ops"))
                assert own or name.split(".")[0] in standard, (path, name)


def test_every_dependency_is_justified_and_bounded():
    text = (ROOT / "docs/architecture.md").read_text()
    files = [ROOT / "requirements.txt", *(ROOT / "requirements").glob("*.txt")]
    for line in "\n".join(path.read_text() for path in files if path.name != "dev.txt").splitlines():
        if line and not line.startswith("#"):
            name = re.match(r"[\w-]+", line)[0]
            assert "<" in line, f"{line} has no upper bound"
            assert re.search(rf"^\| {name} \|", text, re.MULTILINE), f"docs/architecture.md does not say why {name}"


@pytest.mark.parametrize("folder", [path for path in (ROOT / "mindvit").rglob("*/") if path.is_dir()], ids=str)
def test_there_are_no_rooms_for_leftovers(folder):
    assert not {path.stem for path in folder.glob("*.py")} & {"utils", "helpers", "common", "misc"}
