import pytest

from mindvit.parsing import parse
from mindvit.training import trainer
from mindvit.training.recipe import Recipe


@pytest.fixture
def train(tmp_path, tiny):
    def run(*arguments, name="run"):
        recipe, _ = parse(Recipe, "", [*tiny, "--output_dir", str(tmp_path / name), *map(str, arguments)])
        trainer.train(recipe)
        return tmp_path / name

    return run
