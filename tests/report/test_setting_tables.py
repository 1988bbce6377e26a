from mindvit.config import flatten, plain
from mindvit.report.setting_tables import setting_differences, setting_rows
from mindvit.training.recipe import Recipe

DEFAULTS = flatten(plain(Recipe()))


def test_settings_are_compared_with_the_defaults_of_the_recipe_and_of_the_model_name():
    settings = {**DEFAULTS, "optimizer.lr": 0.5, "model.name": "vit_ti_16_224", "model.embed_dim": 192}
    settings |= {"model.depth": 3, "augment.crop_ratio": [3 / 4, 4 / 3], "of_another_version": 1}
    rows = {row.name: row for row in setting_rows(settings)}
    changed = {name for name, row in rows.items() if row.is_changed and not name.startswith("model.")}
    assert changed == {"optimizer.lr", "of_another_version"}
    assert not rows["model.embed_dim"].is_changed
    assert (rows["model.depth"].value, rows["model.depth"].default) == ("3", "12")
    assert rows["augment.crop_ratio"].value == "[0.75, 1.33333]"
    assert len(rows) == len(settings)


def test_an_unknown_model_name_has_the_defaults_of_the_recipe():
    for name in ("vit_of_tomorrow", None, 7, ["a"]):
        assert {row.name for row in setting_rows({**DEFAULTS, "model.name": name}) if row.is_changed} == {"model.name"}


def test_settings_that_differ_between_runs_are_listed():
    rows = setting_differences({"a": 1, "b": 2.0, "c": None}, {"a": 1, "b": 2, "d": "x"})
    dash = "\N{EN DASH}"
    assert [(row.name, row.first, row.second) for row in rows] == [
        ("b", "2.0", "2"),
        ("c", "null", dash),
        ("d", dash, "x"),
    ]
