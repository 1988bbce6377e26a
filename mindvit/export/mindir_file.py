"""Exports a network as MINDIR or AIR, and runs MINDIR files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from mindvit.export.exportable import ExportedNetwork, input_tensor
from mindvit.export.plain_path import plain_folder
from mindvit.files import delete


def write_mindspore_file(cell: ExportedNetwork, batch_size: int | None, kind: str, path: Path) -> None:
    """Writes a network in a format of MindSpore.

    MindSpore divides a MINDIR above 1 GB: ``path`` has the graph, and ``variables_folder`` beside it the weights.

    Args:
        cell: the exportable network.
        batch_size: images per batch; None: any number.
        kind: ``"MINDIR"`` or ``"AIR"``.
        path: the file; it must not exist.
    """
    with plain_folder(path.parent) as folder:
        ms.export(cell, input_tensor(cell, batch_size), file_name=str(folder / path.name), file_format=kind)
    divided = path.with_name(f"{path.stem}_graph.mindir")
    if divided.exists():
        divided.rename(path)


def variables_folder(path: Path) -> Path:
    """The folder of the weights of a MINDIR above 1 GB. The graph refers to it by name."""
    return path.with_name(f"{path.stem}_variables")


def move_variables(temporary: Path, path: Path) -> None:
    """Moves the folder of the weights, if there is one, from beside a temporary file to beside the final one."""
    new, target = variables_folder(temporary), variables_folder(path)
    if target.is_dir():
        delete(target)
    if new.is_dir():
        for file in new.iterdir():
            file.chmod(0o644)
        new.chmod(0o755)
        new.rename(target)


@contextmanager
def mindir_runner(path: Path) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """Loads a MINDIR file into MindSpore. The result maps a batch of inputs to the outputs."""
    with plain_folder(path.parent) as folder:
        network = nn.GraphCell(ms.load(str(folder / path.name)))
        yield lambda inputs: network(ms.Tensor(inputs)).asnumpy()
