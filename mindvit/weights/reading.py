"""Reading a file of weights, whoever wrote it."""

from pathlib import Path

from mindvit.errors import UserError
from mindvit.weights.checkpoint import Checkpoint, is_checkpoint, read_checkpoint
from mindvit.weights.formats.reading import read_arrays
from mindvit.weights.formats.values import check_finite
from mindvit.weights.layouts.recognise import recognise


def read_weights(path: Path) -> Checkpoint:
    """Reads a file of weights of this project, or of another whose layout is known, under our names.

    Nothing in it is executed. What the layout has no name for is kept under its own, so that loading can name it.

    Raises:
        UserError: if the file is missing, damaged, in no known format or layout, a state of a run, or if a weight is
            not a finite number.
    """
    path = Path(path)
    if path.is_file() and is_checkpoint(path):
        checkpoint = read_checkpoint(path)
        if checkpoint.passport is not None:
            return checkpoint
        arrays = checkpoint.tensors
    else:
        arrays = read_arrays(path)
    check_finite(arrays, path)
    layout = recognise(arrays, path)
    try:
        tensors = layout.to_ours(arrays)
    except (ValueError, IndexError) as error:
        raise UserError(f"{path} is a damaged file of {layout.name}'s: {error}") from error
    regular = layout.prepare(arrays)
    for name in layout.leftover(arrays):
        tensors.setdefault(name, regular[name])
    return Checkpoint(path, tensors, None, layout)
