import re
from dataclasses import asdict, fields

import pytest
import yaml

from mindvit.conversion import ConvertSettings
from mindvit.data.mindrecord.converter import MindRecordSettings
from mindvit.errors import UserError
from mindvit.evaluation.evaluator import EvalSettings
from mindvit.extraction import ExtractSettings
from mindvit.inference import InferSettings
from mindvit.parsing import load_recipe, make_parser, parse
from mindvit.training.optimizer_settings import ParamRule
from mindvit.training.recipe import Recipe
from tests.conftest import ROOT


def read(*arguments):
    return parse(Recipe, "", list(arguments))[0]


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_the_defaults_are_those_of_the_dataclasses():
    assert read() == Recipe()


def test_the_command_line_overrides_a_recipe_in_any_order(recipe):
    path = recipe("optimizer:\n  lr: 3e-4\n  betas: [0.8, 0.99]\ntrain:\n  epochs: 7\n")
    for arguments in (("--config", path, "--train.epochs", "9"), ("--train.epochs=9", f"--config={path}")):
        settings = read(*arguments)
        assert settings.optimizer.lr == 3e-4
        assert settings.optimizer.betas == (0.8, 0.99)
        assert settings.train.epochs == 9


def test_every_setting_survives_being_written_and_read(recipe):
    settings = read("--model.drop_path", "0.2", "--model.mean", "[0.1,0.2,0.3]", "--augment.flip", "false")
    assert settings.model.mean == (0.1, 0.2, 0.3)
    stored = yaml.safe_dump(yaml.safe_load(yaml.dump(asdict(settings)).replace("!!python/tuple", "")))
    assert read("--config", recipe(stored)) == settings


def test_a_list_of_groups_is_read_and_survives_being_written(recipe):
    rules = [
        ParamRule("*.bias", lr_scale=2.0),
        ParamRule("dense.*", weight_decay=1e-3, frozen=False),
    ]
    text = "optimizer:\n  rules:\n  - {pattern: '*.bias', lr_scale: 2}\n  - {pattern: dense.*, weight_decay: 1e-3, "
    settings = read("--config", recipe(text + "frozen: false}\n"))
    assert settings.optimizer.rules == rules
    stored = yaml.safe_dump({"optimizer": {"rules": asdict(settings)["optimizer"]["rules"]}})
    assert read("--config", recipe(stored)).optimizer.rules == rules
    assert read("--optimizer.rules", "[{pattern: dense.*, frozen: true}]").optimizer.rules == [
        ParamRule("dense.*", frozen=True)
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_of_the_project_is_read(path):
    assert read("--config", str(path)) != Recipe()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--optimizer.lrr", "1"], "unknown setting 'optimizer.lrr'; the nearest is 'optimizer.lr'"),
        (["--optimiser.lr=1"], "unknown setting 'optimiser.lr'; the nearest is 'optimizer.lr'"),
        (["--lr", "1"], "the command line has an unknown setting 'lr'; the nearest is 'optimizer.lr'"),
        (["--weight-decay=1"], "unknown setting 'weight-decay'; the nearest is 'optimizer.weight_decay'"),
        (["--pretrained", "true"], "unknown setting 'pretrained'; the nearest is 'model.checkpoint'"),
        (["--runtime.half", "true"], "unknown setting 'runtime.half'; the nearest is 'runtime.amp_level'"),
        (["--model", "vit_b_16_224"], "--model is a group of settings .*; the nearest setting is 'model.name'"),
        (["--data=/images"], "--data is a group of settings .*; the nearest setting is 'data.path'"),
        (["--train.seed", "9" * 5000], "^train.seed must be a whole number, not one of thousands of digits$"),
        (["--optimizer.rules", "[" * 50_000], "^the value of optimizer.rules: line 1 has more than 20 levels"),
        (["--optimizer.rules=[{pattern: a, pattern: b}]"], "^the value of optimizer.rules: pattern is given twice"),
        (["--model.mean", "[&a [1, 2], *a, *a"], "^model.mean must be a list of 3 numbers or null, not "),
        (["--optimizer.lr", "fast"], "^optimizer.lr must be a number, not fast$"),
        (["--data.batch_size", "3.5"], "^data.batch_size must be a whole number, not 3.5$"),
        (["--data.source", "mnist"], "^data.source must be one of folder, .*, digits, mindrecord, not mnist$"),
        (["--model.mean", "[0.5]"], r"^model.mean must be a list of 3 numbers or null, not \[0.5\]$"),
        (["--model.gelu", "erf"], "^model.gelu must be one of tanh, exact or null, not erf$"),
        (["--augment.flip", "maybe"], "^augment.flip must be true or false or null, not maybe$"),
        (["--overwrite", "3"], "^overwrite must be true or false, not 3$"),
        (["--data.batch_size", "0"], "data.batch_size must be at least 1, not 0"),
        (["--data.num_workers", "9999"], "data.num_workers must lie between 1 and this machine's"),
        (["--optimizer.lr", "-1"], "optimizer.lr must be above 0"),
        (["--optimizer.betas", "[0.9,1.0]"], "optimizer.betas"),
        (["--schedule.min_lr", "-1"], "schedule.min_lr must not be negative"),
        (["--loss.label_smoothing", "1.0"], "loss.label_smoothing"),
        (["--augment.crop_scale", "[0.5,0.2]"], "augment.crop_scale"),
        (["--train.epochs", "0"], "train.epochs must be at least 1"),
        (["--train.seed", "-3"], "train.seed"),
        (["--config"], "--config needs the path"),
        (["--config", "nowhere.yaml"], "cannot read the recipe nowhere.yaml"),
        (["stray"], "stray"),
    ],
)
def test_errors_on_the_command_line_are_reported(arguments, words):
    with pytest.raises(UserError, match=words):
        read(*arguments)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "optimizer:\n  lrr: 1\n",
            "recipe.yaml has an unknown setting 'optimizer.lrr'; the nearest is 'optimizer.lr'",
        ),
        ("optimiser:\n  lr: 1\n", "unknown setting 'optimiser.lr'"),
        ("optimizer:\n  lr: fast\n", "^optimizer.lr must be a number, not fast$"),
        ("model: 3\n", "^model must be a group of settings, not 3$"),
        ("model:\n", "^model must be a group of settings, not None$"),
        ("model:\n  name: null\n", "^model.name must be text, not empty$"),
        (
            "optimizer:\n  rules:\n  - {pattern: dense.*, lr_scal: 2}\n",
            "^an entry of optimizer.rules has an unknown setting 'lr_scal'; the nearest is 'lr_scale'$",
        ),
        (
            "optimizer:\n  rules: {pattern: dense.*, frozen: true}\n",
            "unknown setting 'optimizer.rules.pattern'; the nearest is 'optimizer.rules'$",
        ),
        (
            "optimizer:\n  rules:\n  - {pattern: dense.*, lr_scale: fast}\n",
            "^optimizer.rules must be a list of {pattern: text, lr_scale: a number or null, .*}, not fast$",
        ),
        ("optimizer:\n  rules: [3]\n", "^optimizer.rules must be a list of {pattern: text, .*}, not 3$"),
        ("optimizer:\n  rules: null\n", "^optimizer.rules must be a list of {pattern: text, .*}, not empty$"),
        ("optimizer:\n  rules: [{lr_scale: 2}]\n", "optimizer.rules.*required.*pattern"),
        ("optimizer:\n  rules: [{pattern: dense.*}]\n", "the rule for 'dense.\\*' sets nothing"),
        ("optimizer: [1\n", "is not YAML"),
        ("optimizer: {lr: !!int x}\n", "is not YAML: it has a value that cannot be read"),
        ("train: {seed: 1}\ntrain: {epochs: 3}\n", "recipe.yaml: train is given twice, in lines 1 and 2; remove one"),
        ("optimizer:\n  lr: 1\n  lr: 2\n", "recipe.yaml: optimizer.lr is given twice, in lines 2 and 3"),
        ("a: &a [x, x]\n" + "b: [*a]\n" * 2, "recipe.yaml: b is given twice"),
        ("model: " + "[" * 5000, "recipe.yaml: line 1 has more than 20 levels of nesting"),
        ("model: &a {name: *a}", "recipe.yaml: the alias \\*a in line 1 is inside the group that it stands for"),
        ("#" * 2_000_000, "recipe.yaml: it has 1,048,577 bytes; at most 1,048,576 are read"),
        ("just words", "holds no settings"),
        ('output_dir: "a\\0b"\n', "^output_dir contains a NUL character"),
    ],
)
def test_errors_in_a_recipe_are_reported(recipe, text, words):
    with pytest.raises(UserError, match=words):
        read("--config", recipe(text))


def test_a_missing_required_setting_is_reported():
    with pytest.raises(UserError, match="--ckpt"):
        parse(EvalSettings, "", [])


def test_flags_take_no_value():
    settings, flags = parse(EvalSettings, "", ["--ckpt", "a", "--json"], flags={"json": "as JSON"})
    assert (settings.ckpt, flags) == ("a", {"json"})
    assert parse(EvalSettings, "", ["--ckpt", "a"], flags={"json": "as JSON"})[1] == set()


@pytest.mark.parametrize(
    "kind", [Recipe, EvalSettings, InferSettings, ConvertSettings, ExtractSettings, MindRecordSettings]
)
def test_every_setting_has_a_help_of_at_most_two_sentences(kind):
    actions = [action for action in make_parser(kind, "")._actions if action.dest not in ("help", "print_config")]
    assert len(actions) > len(fields(kind))
    assert all(action.help for action in actions)
    for action in actions:
        text = action.help
        assert text.endswith("."), f"{action.dest}: {text}"
        sentences = re.findall(r"[.:;?!](?= |$)(?<!e\.g\.)(?<!i\.e\.)", text)
        assert sum(mark == "." for mark in sentences) <= 2, f"{action.dest}: {text}"


def test_a_recipe_is_loaded_from_python_with_overrides(recipe):
    path = recipe("train:\n  epochs: 7\n")
    overrides = {"optimizer.betas": (0.8, 0.99), "augment.flip": False, "data.source": "digits", "train.patience": None}
    loaded = load_recipe(path, overrides)
    assert loaded.train.epochs == 7
    assert (loaded.optimizer.betas, loaded.augment.flip) == ((0.8, 0.99), False)
    assert (loaded.data.source, loaded.train.patience) == ("digits", None)
    with pytest.raises(UserError, match="the nearest is"):
        load_recipe(path, {"optimizer.lrr": 1})


def test_anchors_and_merge_keys_are_read(recipe):
    text = "optimizer: &mine {lr: 0.5, weight_decay: 0.1}\nema: {decay: &decay 0.9}\nswa: {}\n"
    settings = read("--config", recipe(text + "model: {dropout: 0.1, drop_path: *decay}\n"))
    assert (settings.optimizer.lr, settings.ema.decay, settings.model.drop_path) == (0.5, 0.9, 0.9)


def test_a_value_that_only_looks_like_yaml_is_a_text():
    for text in ("[" * 30, "{a: 1, a: 2}", "a: b: c", "2026-11-31", "\udcff"):
        assert read("--output_dir", text).output_dir == text


def test_a_group_may_be_given_as_a_whole():
    settings = read("--optimizer", "{name: sgd, lr: 0.5}", "--optimizer.momentum", "0.8")
    assert (settings.optimizer.name, settings.optimizer.lr, settings.optimizer.momentum) == ("sgd", 0.5, 0.8)
