"""Recipes by path, and those of the project by name from any folder."""

from pathlib import Path

import pytest

from mindvit import find_recipe as module
from mindvit.errors import UserError
from mindvit.find_recipe import find_recipe, project_recipes
from mindvit.parsing import load_recipe
from tests.conftest import ROOT


def test_all_recipes_of_the_project_have_names():
    assert project_recipes() == {path.stem: path for path in (ROOT / "configs").glob("*.yaml")}


@pytest.mark.parametrize("name", ["digits", "digits.yaml", "configs/digits.yaml", "./configs/digits.yaml"])
def test_a_recipe_of_the_project_is_found_from_any_folder(monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    assert find_recipe(name) == str(ROOT / "configs/digits.yaml")
    assert load_recipe(name).data.source == "digits"


@pytest.mark.parametrize("name", ["digits", "digits.yaml", "configs/digits.yaml"])
def test_a_file_comes_before_the_recipe_of_the_same_name(monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / name
    own.parent.mkdir(exist_ok=True)
    own.write_text("train: {epochs: 7}\n")
    assert find_recipe(name) == name
    assert load_recipe(name).train.epochs == 7


def test_an_installed_package_has_the_recipes_inside(monkeypatch, tmp_path):
    (tmp_path / "mindvit/configs").mkdir(parents=True)
    (tmp_path / "mindvit/configs/own.yaml").touch()
    monkeypatch.setattr(module, "__file__", str(tmp_path / "mindvit/find_recipe.py"))
    assert project_recipes() == {"own": tmp_path / "mindvit/configs/own.yaml"}


@pytest.mark.parametrize("name", ["digit", "configs/digit.yaml"])
def test_a_wrong_name_leads_to_the_nearest_recipe(monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"cannot read the recipe {name}: .*; the nearest .* is digits$"):
        load_recipe(name)


@pytest.mark.parametrize("name", ["other/digits.yaml", "/configs/digits.yaml", "a/configs/digits.yaml"])
def test_other_paths_are_paths(monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    assert find_recipe(name) == name
    with pytest.raises(UserError, match="cannot read the recipe"):
        load_recipe(name)
    assert not Path(name).exists()
