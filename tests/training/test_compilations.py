"""How many graphs a run compiles: seconds each on a CPU, minutes on an NPU."""

from collections import Counter

import pytest
from mindspore.common.api import _cell_graph_executor as executor

from mindvit.parsing import parse
from mindvit.training import trainer
from mindvit.training.recipe import Recipe


@pytest.fixture
def compiled(monkeypatch):
    """Counts, by class of the cell, the graphs that are compiled and not found in a cache."""
    counts = Counter()
    compile_cell = type(executor).compile

    def counting(self, cell, *inputs, **options):
        phase, is_new = compile_cell(self, cell, *inputs, **options)
        counts[type(cell).__name__] += is_new
        return phase, is_new

    monkeypatch.setattr(type(executor), "compile", counting)
    return counts


@pytest.mark.slow
def test_a_run_compiles_one_training_graph_and_one_evaluation_graph_for_each_network(
    compiled, tmp_path, tiny, make_folder
):
    # Batches of 4: the training images are two and a half batches; the last of three evaluation batches is half empty.
    folder = make_folder(counts=5)
    options = ["--data.path", str(folder), "--output_dir", str(tmp_path / "run"), "--train.epochs", "2"]
    recipe, _ = parse(Recipe, "", [*tiny, *options, "--runtime.mode", "graph", "--ema.decay", "0.9"])
    trainer.train(recipe)
    assert compiled == {"TrainStep": 1, "EvaluationCell": 2}
