"""Small jobs for the compiler of a dry run, and what must hold for each of them."""

import shutil
from copy import deepcopy
from functools import cache

import pytest
import yaml

from mindvit.config import plain
from mindvit.dry_run.compile_jobs import CompileJob
from mindvit.parsing import load_recipe
from tests.conftest import ROOT

# Compilation takes minutes, and the dry run is a process of its own, which no other test disturbs.
MARKS = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("g++", "readelf", "nm")), reason="needs g++ and binutils"
    ),
]
SIZES = {"embed_dim": 64, "num_heads": 2, "mlp_dim": 128}


def small_job(recipe, step="train", jit_level=None, **settings):
    """A recipe of configs/ with a small network.

    Args:
        recipe: name of the file.
        step: train or eval.
        jit_level: level of the compiler; None takes that of the recipe.
        settings: settings of the recipe by dotted name, with ``__`` in place of the dot.
    """
    overrides = {"train.steps": 1000, "data.batch_size": 4, "model.image_size": 32, "model.depth": 2}
    overrides |= {f"model.{name}": value for name, value in SIZES.items()}
    overrides |= {name.replace("__", "."): value for name, value in settings.items()}
    values = deepcopy(values_of(recipe))
    for name, value in overrides.items():
        group, _, key = name.partition(".")
        values[group][key] = value
    return CompileJob(yaml.safe_dump(values), step, jit_level=jit_level, num_classes=10)


@cache
def values_of(recipe):
    return plain(load_recipe(ROOT / "configs" / recipe))


def names(compilation):
    return [name for name, _ in compilation.log.launched()]


def assert_runs_on_ascend(compilation):
    assert compilation.error is None, compilation.error
    assert compilation.log.cpu_fallbacks == [], compilation.log.cpu_fallbacks
    assert len(names(compilation)) > 20
    # The graphs show the shapes of all that the log lists.
    assert sorted(node.name for node in compilation.nodes) == sorted(name for name, _ in compilation.log.kernels)
