"""The notebook of the tutorial runs, in its own kernel, and its stored outputs are those of its code."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs/tutorial.ipynb"


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def texts(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


REDUCTIONS = {
    "EPOCHS = 20": "EPOCHS = 1",
    '"overwrite": True}': '"overwrite": True, "model.depth": 1, "train.steps": 2, "runtime.peak_tflops": 0.1}',
}
"""What is shorter in the test: the training, and the network that is trained."""


@pytest.mark.slow
def test_every_cell_runs_as_written(tmp_path):
    for name in ("mindvit", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for text, reduced in REDUCTIONS.items():
        (cell,) = (cell for cell in notebook.cells if cell.cell_type == "code" and text in cell.source)
        cell.source = cell.source.replace(text, reduced)
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "output/tutorial/best.ckpt").is_file()
    for cell, stored in zip((c for c in notebook.cells if c.cell_type == "code"), code_cells(NOTEBOOK), strict=True):
        kinds = [
            {key for output in c.outputs for key in output.get("data", [output.get("name")])} for c in (cell, stored)
        ]
        assert kinds[0] - {"stderr"} == kinds[1], (
            f"run scripts/run_notebook.py; the outputs are those of other code than\n{cell.source}"
        )
        # The training is shorter here; what comes before it is the same on every machine, except for rounding.
        if "largest difference" in texts(cell):
            assert float(re.search(r"largest difference: (\S+)", texts(cell))[1]) < 1e-4


def test_the_stored_outputs_are_of_a_complete_run():
    cells = code_cells(NOTEBOOK)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert "epoch 20/20" in "".join(map(texts, cells))
    top1 = float(
        re.search(r"Top-1 ([\d.]+) %, Top-5", texts(next(c for c in cells if "mindvit.evaluate" in c.source)))[1]
    )
    assert top1 > 95


def test_the_translation_has_the_same_code_and_outputs():
    assert code_cells(ROOT / "docs/tutorial.zh.ipynb") == code_cells(NOTEBOOK)
