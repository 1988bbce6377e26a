"""Settings of runs as tables: which differ from the defaults, and which differ between two runs."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from mindvit.config import flatten, plain
from mindvit.models.variants import model_config
from mindvit.training.recipe import Recipe

_ABSENT = "\N{EN DASH}"


@dataclass(frozen=True)
class SettingRow:
    """A setting of a run."""

    name: str
    """Dotted name."""
    value: str
    default: str
    """Its default; for settings of the model that of the model name."""
    is_changed: bool
    """Whether the value is not the default."""


@dataclass(frozen=True)
class SettingDifference:
    """A setting that two runs have different values of."""

    name: str
    first: str
    second: str


def setting_rows(settings: dict[str, Any]) -> list[SettingRow]:
    """All settings of a run, in the order of ``config.yaml``.

    Args:
        settings: by dotted name.
    """
    defaults = _defaults(settings.get("model.name"))
    rows = []
    for name, value in settings.items():
        shown = _shown(value)
        default = _shown(defaults[name]) if name in defaults else _ABSENT
        rows.append(SettingRow(name, shown, default, shown != default))
    return rows


def setting_differences(first: dict[str, Any], second: dict[str, Any]) -> list[SettingDifference]:
    """The settings that differ between two runs, in the order of the first."""
    names = [*first, *(name for name in second if name not in first)]
    pairs = [(name, *(_shown(of[name]) if name in of else _ABSENT for of in (first, second))) for name in names]
    return [SettingDifference(name, one, other) for name, one, other in pairs if one != other]


def _defaults(model: Any) -> dict[str, Any]:
    defaults = flatten(plain(Recipe()))
    try:
        config = asdict(model_config(model))
    except (ValueError, TypeError):  # The model of another version, or of a file that somebody changed.
        return defaults
    of_model = {f"model.{name}": value for name, value in {**config, **config["preprocessing"]}.items()}
    known = {name: value for name, value in of_model.items() if name in defaults}
    return {**defaults, "model.name": _ABSENT, **known}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(_rounded(value), ensure_ascii=False, default=str)


def _rounded(value: Any) -> Any:
    """Floats with six digits, as one writes them in a recipe: 1.33333 for 4 / 3."""
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
