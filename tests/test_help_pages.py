"""``--help`` of every command, and the values on a command line that stand for no option of their own."""

import re
import sys
from dataclasses import dataclass, field

import pytest

from mindvit import cli
from mindvit.benchmark.benchmark_settings import StepSettings
from mindvit.command import Command
from mindvit.config import setting_groups, setting_types
from mindvit.dry_run_command import DryRunSettings
from mindvit.errors import UserError
from mindvit.evaluation.evaluator import EvalSettings
from mindvit.help_pages import COLUMNS, LINES, HelpPages, command_line
from mindvit.parsing import make_parser, parse
from mindvit.training.recipe import Recipe


@pytest.fixture
def ask(monkeypatch, capsys):
    def run(*arguments, columns=COLUMNS):
        monkeypatch.setattr(sys, "argv", ["mindvit", *arguments])
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as exited:
            cli.main()
        assert exited.value.code == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def every_command(commands=cli.COMMANDS, prefix=()):
    for name, command in commands.items():
        yield (*prefix, name)
        yield from every_command(command.commands, (*prefix, name))


@pytest.mark.parametrize("command", [(), *every_command(), ("launch", "train")], ids=" ".join)
def test_the_help_of_every_command_fits_a_screen(ask, command):
    text = ask(*command, "--help")
    assert text.startswith(f"usage: {' '.join(('mindvit', *command))} ")
    assert len(text.splitlines()) <= LINES
    assert max(map(len, text.splitlines())) < COLUMNS


@pytest.mark.parametrize("kind", [Recipe, EvalSettings, DryRunSettings])
def test_every_setting_is_explained_in_the_page_of_its_group(kind):
    help_pages = HelpPages(kind, make_parser(kind, "")._actions, "mindvit it")
    groups = setting_groups(kind)
    pages = {name: help_pages.page(name) for name in groups} | {"": help_pages.page(), "all": help_pages.page("all")}
    for name in dict(setting_types(kind)):
        for page in ("all", name.rpartition(".")[0]):
            assert re.search(rf"^  --{name}( |$)", pages[page], re.MULTILINE), (page, name)
    for name, doc in groups.items():
        assert " ".join(doc.split()) in " ".join(pages[name].split())


def test_a_page_says_type_and_default_of_each_setting(ask):
    text = " ".join(ask("train", "--help", "optimizer").split())
    assert "--optimizer.name adamw: Adam with decoupled weight decay;" in text
    assert "(one of adamw, adam, sgd, lamb; default: adamw)" in text
    assert "--optimizer.lr Peak learning rate. (a number; default: 0.001)" in text
    assert "--augment" not in text


def test_a_setting_is_explained_alone(ask):
    text = ask("train", "--help=train.epochs")
    assert " ".join(text.split()) == "--train.epochs Passes over the training images. (a whole number; default: 10)"


def test_an_unknown_topic_leads_to_what_is_meant(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mindvit", "train", "--help", "lr"])
    with pytest.raises(SystemExit) as exited:
        cli.main()
    assert exited.value.code == 2
    error = capsys.readouterr().err
    assert "no group or setting 'lr'; the nearest is 'optimizer.lr'; the groups are model, data, " in error


def test_help_comes_before_what_is_wrong(ask):
    assert ask("train", "--lrr", "3", "-h").startswith("usage: mindvit train")


def test_a_narrow_terminal_gets_narrow_lines(ask):
    lines = ask("train", "--help", "model", columns=60).splitlines()
    assert max(map(len, lines)) < 60


def test_a_long_example_is_one_command_for_a_shell():
    text = command_line("train.py --config configs/digits.yaml --output_dir output/digits", 40, "  ")
    assert max(map(len, text.splitlines())) <= 40
    assert text.replace(" \\\n", "").split() == [
        "train.py",
        "--config",
        "configs/digits.yaml",
        "--output_dir",
        "output/digits",
    ]


def test_a_command_may_consist_of_commands(monkeypatch, capsys, ask):
    called = []
    inner = Command("Draw lines.", "--ckpt X", lambda arguments, usage, command: called.append((arguments, usage)))
    monkeypatch.setitem(cli.COMMANDS, "draw", Command("Draw figures.", commands={"lines": inner}))
    text = ask("draw")
    assert text.startswith("usage: mindvit draw COMMAND") and "  lines " in text and "Draw figures." in text
    ask("draw", "lines", "--ckpt", "a")
    assert called == [(["--ckpt", "a"], "mindvit draw lines")]
    monkeypatch.setattr(sys, "argv", ["mindvit", "draw", "liens"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "there is no command 'liens'; the nearest is 'lines', and mindvit draw --help" in capsys.readouterr().err


@dataclass(frozen=True)
class Inner:
    """A group."""

    names: tuple[str, ...] | None = None
    """Names."""


@dataclass(frozen=True)
class Outer:
    """Settings."""

    first: str
    """First."""
    others: tuple[str, ...] = ()
    """Others."""
    size: int = 3
    """Size."""
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a"], Outer("a")),
        (["--first", "a"], Outer("a")),
        (["a", "b.png", "[c].png"], Outer("a", ("b.png", "[c].png"))),
        (["--size", "-4", "a", "b"], Outer("a", ("b",), -4)),
        (["a", "--others", "b", "c", "--size=5"], Outer("a", ("b", "c"), 5)),
        (["a", "--others", '["b", "c"]'], Outer("a", ("b", "c"))),
        (["a", "--others=[b, c]"], Outer("a", ("b", "c"))),
        (["a", "--inner.names", "3", "4"], Outer("a", inner=Inner(("3", "4")))),
        (["a", "--inner.names", "null"], Outer("a")),
        (["--flag", "a", "--others", "猫", "it's"], Outer("a", ("猫", "it's"))),
    ],
)
def test_values_belong_to_the_option_before_them_or_to_the_next_argument(arguments, expected):
    assert parse(Outer, "", arguments, {"flag": "A flag."}, positional=("first", "others"))[0] == expected


@pytest.mark.parametrize(
    ("arguments", "positional", "words"),
    [
        (["a", "b"], ("first",), "has 'b', which belongs to no option"),
        (["--size", "3", "4", "--first", "a"], (), "has '4', which belongs to no option"),
        (["-size", "3"], ("first",), "'-size', but an option begins with --: --size"),
        ([], ("first",), "first"),
    ],
)
def test_a_value_that_belongs_nowhere_is_an_error(arguments, positional, words):
    with pytest.raises(UserError, match=words):
        parse(Outer, "", arguments, positional=positional)


def test_arguments_are_listed_apart_from_options(capsys):
    with pytest.raises(SystemExit):
        parse(Outer, "Does.", ["-h"], usage="mindvit do", positional=("first", "others"))
    text = capsys.readouterr().out
    assert text.startswith("usage: mindvit do FIRST [OTHERS] [--SETTING VALUE ...]")
    assert "arguments:\n  FIRST" in text and "--first" not in text


@pytest.mark.parametrize("values", [("1", "8", "32"), ("[1, 8, 32]",)])
def test_a_list_of_numbers_takes_one_value_or_several(values):
    assert parse(StepSettings, "", ["--batch_sizes", *values, "--rounds", "3"])[0].batch_sizes == (1, 8, 32)
    assert parse(StepSettings, "", ["--batch_sizes", "8"])[0].batch_sizes == (8,)
    assert parse(StepSettings, "", ["--batch_sizes", "null"])[0].batch_sizes is None
