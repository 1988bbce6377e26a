"""Finds a recipe by its path, or one of the project's recipes by its name from any folder."""

import difflib
from pathlib import Path

from mindvit.errors import UserError

_FOLDER = "configs"


def project_recipes() -> dict[str, Path]:
    """The recipes that come with the project, by name: ``digits`` and others."""
    package = Path(__file__).parent
    # An installed package holds them; a clone has them beside the package.
    folder = next((path for path in (package / _FOLDER, package.parent / _FOLDER) if path.is_dir()), package)
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(recipe: str) -> str:
    """The path of a recipe file.

    Args:
        recipe: a path; or ``digits``, ``digits.yaml`` or ``configs/digits.yaml`` for a recipe of the project, unless
            there is a file of that path.

    Raises:
        UserError: if there is no such file, and no recipe of that name.
    """
    path = Path(recipe)
    if path.exists() or path.is_absolute() or path.parent.name not in ("", _FOLDER) or len(path.parts) > 2:
        return recipe
    recipes = project_recipes()
    name = path.name.removesuffix(".yaml")
    if name in recipes:
        return str(recipes[name])
    nearest = difflib.get_close_matches(name, recipes, n=1)
    hint = f"; the nearest recipe of the project is {nearest[0]}" if nearest else ""
    raise UserError(f"cannot read the recipe {recipe}: No such file or directory{hint}")
