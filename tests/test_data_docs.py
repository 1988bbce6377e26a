"""The commands in docs/data.md are those of the programs, with settings that exist, and in an order that works."""

import re
import shlex

import pytest

from mindvit.data.check.check_data import CheckDataSettings
from mindvit.data.labels_file import open_labels
from mindvit.data.mindrecord.converter import MindRecordSettings
from mindvit.parsing import parse
from mindvit.training.recipe import Recipe
from tests.conftest import ROOT

TEXT = (ROOT / "docs/data.md").read_text()
COMMANDS = [
    line for block in re.findall(r"^```bash\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]
SETTINGS = {
    "python train.py": Recipe,
    "python -m mindvit check-data": CheckDataSettings,
    "python -m mindvit convert-to-mindrecord": MindRecordSettings,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_settings_of_a_command_exist(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    program = next((name for name in SETTINGS if command.startswith(f"{name} ")), None)
    if program is None:
        assert command == "python -m mindvit report output/own_images_small"
    else:
        parse(SETTINGS[program], "", shlex.split(command.removeprefix(program)))


def test_the_example_of_a_labels_file_is_one(tmp_path):
    (table,) = re.findall(r"^```csv\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / "labels.csv").write_text(table)
    for line in table.splitlines()[1:]:
        (tmp_path / line.split(",")[0]).parent.mkdir(exist_ok=True)
        (tmp_path / line.split(",")[0]).touch()
    source = open_labels(tmp_path, "labels.csv")
    assert (len(source.train), len(source.val), source.train.classes.ids) == (2, 1, ("cat", "dog"))


def test_the_settings_in_the_text_exist():
    known = parse(Recipe, "", [])[0]
    for group, name in set(re.findall(r"`(data|loss|train|checkpoint)\.(?!py)(\w+)", TEXT)):
        assert hasattr(getattr(known, group), name), f"{group}.{name}"
