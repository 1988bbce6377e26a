"""Runs the notebook docs/tutorial.ipynb, and stores the outputs in it and in its translations.

Usage, from the project's folder: python scripts/run_notebook.py
"""

import copy
from pathlib import Path

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).parent.parent / "docs"
NOTEBOOK = DOCS / "tutorial.ipynb"


def run(notebook: nbformat.NotebookNode) -> None:
    """Runs all cells of a notebook in a new kernel, in the folder docs/."""
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(DOCS)}}, record_timing=False).execute()


def joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """The outputs of a cell, with consecutive printed texts as one."""
    result: list[nbformat.NotebookNode] = []
    for output in outputs:
        if result and output.output_type == result[-1].output_type == "stream":
            result[-1].text += output.text
        else:
            result.append(output)
    return result


def main() -> None:
    """Runs the notebook and writes it and its translations, whose code is the same."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    run(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = joined([output for output in cell.outputs if output.get("name") != "stderr"])
    nbformat.write(notebook, NOTEBOOK)
    for path in DOCS.glob("tutorial.*.ipynb"):
        translation = nbformat.read(path, as_version=4)
        for cell, source in zip(translation.cells, notebook.cells, strict=True):
            if cell.cell_type == "code":
                cell.update(copy.deepcopy(source))
        nbformat.write(translation, path)


if __name__ == "__main__":
    main()
