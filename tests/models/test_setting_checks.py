from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest

from mindvit.models.setting_checks import MAX_FLOAT, check_values


@dataclass
class Settings:
    rate: float | None = None
    range: tuple[float, ...] = ()
    count: int = 1
    kind: Literal["a", "b"] = "a"
    other: Literal["c"] | None = None
    several: Literal["a", "b"] | tuple[Literal["a", "b"], ...] = "a"
    rules: list[Any] = field(default_factory=list)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rate": MAX_FLOAT, "count": -(10**38), "range": (0, -MAX_FLOAT), "rules": [{"a": 1}, "nan"]},
        {"kind": "b", "other": "c"},
        {"several": ("b", "a")},
    ],
    ids=str,
)
def test_finite_numbers_and_choices_pass(settings):
    check_values(Settings(**settings))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate": float("nan")}, "^group.rate must be a finite number, at most 3.4e38 in float32, not nan$"),
        ({"rate": -np.inf}, "^group.rate must be a finite number, .*, not -inf$"),
        ({"rate": 1e39}, r"^group.rate must be a finite number, .*, not 1e\+39$"),
        ({"range": (1.0, np.float64("inf"))}, "^group.range must be a finite number, .*, not inf$"),
        ({"count": 10**5000}, "^group.count must be a finite number, .*, not an integer of more than 38 digits$"),
        ({"kind": "c"}, "^group.kind must be one of a, b, not 'c'$"),
        ({"kind": ("a", "b")}, "^group.kind must be one of a, b, not"),
        ({"several": ("a", "c")}, "^group.several must be one of a, b, not 'c'$"),
        ({"other": "a"}, "^group.other must be one of c, not 'a'$"),
    ],
)
def test_what_cannot_be_computed_with_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        check_values(Settings(**settings), "group.")
