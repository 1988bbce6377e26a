"""Recipes and command lines."""

import json
import math
from dataclasses import replace

import numpy as np
import yaml
from hypothesis import strategies as st

from mindvit.config import flatten, plain
from mindvit.conversion import ConvertSettings
from mindvit.evaluation.evaluator import EvalSettings
from mindvit.factory import ModelSettings, resolve_config
from mindvit.inference import InferSettings
from mindvit.parsing import parse
from mindvit.training.lr_schedule import MAX_STEPS, learning_rates
from mindvit.training.recipe import Recipe
from tests.conftest import ROOT
from tests.fuzz.target import TextTarget

_KINDS = {"train": Recipe, "eval": EvalSettings, "infer": InferSettings, "convert": ConvertSettings}
_DEFAULTS = flatten(plain(Recipe()))
_COMPUTED_STEPS = 10**6
_STEPS_PER_EPOCH = 7
_FILES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "configs").glob("*.yaml"))]
_TOKENS = [
    *("train:", "model:", "lr:", "name:", "a:", "optimizer:", "rules:", " ", "  ", "    ", "\n", "\n- ", "\n  ", "- "),
    *(
        "&a ",
        "*a",
        "<<: *a",
        "[",
        "]",
        "{",
        "}",
        ",",
        ": ",
        "? ",
        "|\n",
        ">-\n",
        "'",
        '"',
        "#",
        "%",
        "---",
        "...",
        "!!",
    ),
    *(
        "!!int ",
        "!!python/object/apply:os.system [id]",
        "!!binary ",
        "2024-01-01",
        "0x1F",
        "1_000",
        "012",
        "1:30",
        "~",
        "9" * 5000,
    ),
    *("null", ".nan", ".inf", "-.inf", "1e400", "true", "yes", "\t", "\0", "\x1b", "狗", "\ufeff", "\udcff"),
]
_NUMBERS = st.one_of(
    st.sampled_from((0, 1, -1, 2, 3, 0.5, 0.1, 1e-8, 10**9, 2**31, 2**63, 10**30, 10**400, 1e300, 1e-300)),
    st.floats(),
    st.integers(),
)
_VALUES = st.recursive(
    st.one_of(
        _NUMBERS,
        st.none(),
        st.booleans(),
        st.text(max_size=20),
        st.sampled_from(sorted({value for value in _DEFAULTS.values() if isinstance(value, str)})),
        st.sampled_from(("adamw", "lion", "cosine", "step", "linear", "timm", "O2", "skip", "/dev/null", "x" * 5000)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(("pattern", "lr_scale", "frozen", "x")), inner, max_size=3),
    ),
    max_leaves=6,
)


@st.composite
def _settings(draw):
    """A recipe with known settings, and mostly with values of their types."""
    chosen = draw(st.lists(st.sampled_from(sorted(_DEFAULTS)), min_size=1, max_size=4, unique=True))
    groups = {}
    for name in chosen:
        default = _DEFAULTS[name]
        fitting = (
            st.booleans() if isinstance(default, bool) else _NUMBERS if isinstance(default, int | float) else _VALUES
        )
        value = draw(st.one_of(fitting, fitting, _VALUES))
        group, _, key = name.rpartition(".")
        (groups.setdefault(group, {}) if group else groups)[key] = value
    if draw(st.integers(0, 3)) == 0:
        groups[draw(st.text(max_size=5))] = draw(_VALUES)
    return _as_yaml(groups)


def _as_yaml(value):
    """JSON is YAML, apart from numbers that are not finite."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {_as_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_yaml, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return json.dumps(value)


@st.composite
def _edited_files(draw):
    """A recipe of this project with lines removed, repeated, moved or replaced."""
    lines = draw(st.sampled_from(_FILES)).splitlines()
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.integers(0, 4))
        if kind == 0 and len(lines) > 1:
            lines.pop(place)
        elif kind == 1:
            lines.insert(place, lines[draw(st.integers(0, len(lines) - 1))])
        elif kind == 2:
            lines[place] = " " * draw(st.integers(0, 6)) + lines[place].strip()
        elif kind == 3:
            lines[place] = f"{lines[place].partition(':')[0]}: {_as_yaml(draw(_VALUES))}"
        else:
            lines[place] += draw(st.sampled_from(_TOKENS))
    return "\n".join(lines)


_PIECES = st.lists(st.sampled_from(_TOKENS), max_size=25).map("".join)


def _check_recipe(folder):
    settings, _ = parse(Recipe, "", ["--config", str(folder / "recipe.yaml")])
    _check_finite(resolve_config(settings.model.name, **settings.model.overrides()))
    _check_finite(replace(settings, model=ModelSettings()))
    train = settings.train
    steps = train.steps or train.epochs * _STEPS_PER_EPOCH
    if steps <= _COMPUTED_STEPS or steps > MAX_STEPS:
        rates = learning_rates(settings.schedule, settings.optimizer.lr, steps, _STEPS_PER_EPOCH)
        assert np.isfinite(rates).all(), "learning rates that are not finite"
    yaml.safe_dump(plain(settings))


def _check_finite(settings):
    for name, value in flatten(plain(settings)).items():
        for number in value if isinstance(value, list) else [value]:
            assert not isinstance(number, float) or math.isfinite(number), f"{name} is {number}"


RECIPES = TextTarget(
    "recipes",
    _check_recipe,
    "recipe.yaml",
    st.one_of(_settings(), _settings(), _edited_files(), _PIECES, st.text(max_size=60)),
    "train: {epochs: 3}\n",
    examples=20,
    blocks=1,
)

_OPTION = st.one_of(
    st.sampled_from(sorted(_DEFAULTS)),
    st.sampled_from(("ckpt", "image", "output", "lr", "model", "data", "optimizer.rules", "top_k", "json", "help", "")),
    st.text(max_size=8),
)


@st.composite
def _command_lines(draw):
    arguments = [draw(st.sampled_from(sorted(_KINDS)))]
    for _ in range(draw(st.integers(0, 4))):
        name, value = f"--{draw(_OPTION)}", draw(st.one_of(_VALUES.map(_as_yaml), _PIECES, st.text(max_size=20)))
        arguments += draw(st.sampled_from(([name, value], [f"{name}={value}"], [name], [value])))
    return json.dumps(arguments)


def _check_command_line(folder):
    kind, *arguments = json.loads((folder / "arguments.json").read_text())
    # No process gets an argument with NUL, and a recipe is read by the other target.
    arguments = [item for item in arguments if "\0" not in item and "config" not in item]
    settings, flags = parse(_KINDS[kind], "", arguments, {"json": "Print JSON."})
    assert isinstance(settings, _KINDS[kind])
    assert flags <= {"json"}


COMMAND_LINES = TextTarget(
    "command_lines",
    _check_command_line,
    "arguments.json",
    _command_lines(),
    json.dumps(["train", "--train.epochs", "3"]),
    examples=20,
    blocks=1,
)
