import math
from dataclasses import fields, is_dataclass
from typing import get_args, get_origin, get_type_hints

import pytest

from mindvit.errors import UserError
from mindvit.models.vit_config import Preprocessing, ViTConfig
from mindvit.parsing import parse
from mindvit.training.optimizer_settings import ParamRule
from mindvit.training.recipe import Recipe, TrainSettings


def numbers(kind, group=""):
    """Class, group, name and number of values of each setting that is one or several numbers."""
    for name, hint in get_type_hints(kind).items():
        if name not in {field.name for field in fields(kind)}:
            continue
        if is_dataclass(hint):
            yield from numbers(hint, f"{group}{name}.")
        else:
            kinds = {hint, *get_args(hint)}
            if kinds & {int, float}:
                yield kind, group, name, len(get_args(hint)) if get_origin(hint) is tuple else 0


# model.* may be null in a recipe, and is checked as a part of the configuration of the network.
SETTINGS = [case for case in numbers(Recipe) if case[1] != "model."] + list(numbers(ViTConfig))
# What an error calls a setting whose class has its own group.
GROUPS = {Preprocessing: ""}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39], ids=str)
@pytest.mark.parametrize(("kind", "group", "name", "count"), SETTINGS, ids=lambda value: value if value else "-")
def test_no_number_may_be_nan_or_infinite(kind, group, name, count, value):
    with pytest.raises(ValueError, match=rf"^{GROUPS.get(kind, group)}{name}[ :].*\b(not|is) .*"):
        kind(**{name: (value,) * count if count else value})


@pytest.mark.parametrize("name", ["lr_scale", "weight_decay"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_number_of_a_rule_may_be_nan_or_infinite(name, value):
    with pytest.raises(ValueError, match=rf"the rule for 'cls': {name} must be a finite number.*, not {value}"):
        ParamRule("cls", **{name: value})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optimizer: {lr: .nan}", "^optimizer.lr must be a finite number, .*not nan$"),
        ("optimizer: {clip_norm: .inf}", "^optimizer.clip_norm must be a finite number, .*not inf$"),
        ("optimizer: {betas: [0.9, .nan]}", "^optimizer.betas must be a finite number, .*not nan$"),
        ("schedule: {min_lr: .inf}", "^schedule.min_lr must be a finite number, .*not inf$"),
        (
            "optimizer: {rules: [{pattern: cls, weight_decay: .nan}]}",
            "weight_decay must be a finite number, .*not nan$",
        ),
        (f"train: {{steps: 1{39 * '0'}}}", "^train.steps must be a finite number, at most 3.4e38"),
        ("data: {batch_size: 1000000000}", "^data.batch_size must be at most 65,536 images, not 1,000,000,000$"),
        ("augment: {randaugment_ops: 1000000000}", "^augment.randaugment_ops must lie between 1 and 100"),
    ],
)
def test_a_recipe_with_a_number_that_cannot_be_computed_with_is_refused(tmp_path, text, words):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        parse(Recipe, "", ["--config", str(path)])


@pytest.mark.parametrize("name", ["epochs", "steps", "accumulate_steps", "log_steps", "patience", "max_skipped_steps"])
def test_a_count_is_at_least_one(name):
    with pytest.raises(ValueError, match=rf"^train.{name} must be at least 1, not 0$"):
        TrainSettings(**{name: 0})
