"""Reads a weights file of any known format and layout."""

from pathlib import Path

from mindvit.errors import UserError
from mindvit.weights.checkpoint import Checkpoint, read_checkpoint
from mindvit.weights.formats.ckpt import starts_ckpt
from mindvit.weights.formats.read_arrays import read_arrays
from mindvit.weights.formats.values import check_finite
from mindvit.weights.layouts.detect import detect_layout


def read_weights(path: Path) -> Checkpoint:
    """Reads a weights file of this project or of another, and returns the tensors under this project's names.

    Nothing in the file is executed. Tensors that the layout does not know keep their own names, so that loading can
    report them.

    Raises:
        UserError: if the file is missing, corrupt, in no known format or layout, or a training checkpoint, or if a
            weight is not finite.
    """
    path = Path(path)
    if path.is_file() and _is_ckpt(path):
        checkpoint = read_checkpoint(path)
        if checkpoint.metadata is not None:
            return checkpoint
        arrays = checkpoint.tensors
    else:
        arrays = read_arrays(path)
    check_finite(arrays, path)
    layout = detect_layout(arrays, path)
    try:
        tensors = layout.to_ours(arrays)
    except (ValueError, IndexError) as error:
        raise UserError(f"{path} is a corrupt file of the layout {layout.name}: {error}") from error
    regular = layout.prepare(arrays)
    for name in layout.unexpected(arrays):
        tensors.setdefault(name, regular[name])
    return Checkpoint(path, tensors, None, layout)


def _is_ckpt(path: Path) -> bool:
    with open(path, "rb") as file:
        return starts_ckpt(file.read(1))
