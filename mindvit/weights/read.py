"""Reads a weights file of any known format and layout."""

from pathlib import Path

from mindvit.errors import UserError
from mindvit.weights.checkpoint import Checkpoint, read_checkpoint
from mindvit.weights.formats.ckpt import starts_ckpt
from mindvit.weights.formats.corrupt_file import reraise_corrupt_file
from mindvit.weights.formats.read_arrays import read_arrays
from mindvit.weights.formats.values import check_finite
from mindvit.weights.infer_config import metadata_differences
from mindvit.weights.layouts.detect import detect_layout
from mindvit.weights.published_architecture import read_published_architecture


def read_weights(path: Path) -> Checkpoint:
    """Reads a weights file of this project or of another, and returns the tensors under this project's names.

    Nothing in the file is executed. Tensors that the layout does not know keep their own names, so that loading can
    report them.

    Raises:
        UserError: if the file is missing, corrupt, in no known format or layout, or a training checkpoint, if a weight
            is not finite, or if the metadata does not fit the tensors.
    """
    path = Path(path)
    checkpoint = read_checkpoint(path) if path.is_file() and _is_ckpt(path) else None
    arrays = read_arrays(path) if checkpoint is None else checkpoint.tensors
    check_finite(arrays, path)
    if checkpoint is not None and checkpoint.metadata is not None:
        _check_metadata(checkpoint)
        return checkpoint
    layout, architecture = detect_layout(arrays, path), read_published_architecture(path)
    try:
        tensors = layout.to_ours(arrays)
    except (ValueError, IndexError) as error:
        raise UserError(f"{path} is a corrupt file of the layout {layout.name}: {error}") from error
    regular = layout.prepare(arrays)
    for name in layout.unexpected(arrays):
        tensors.setdefault(name, regular[name])
    return Checkpoint(path, tensors, None, layout, architecture)


def _check_metadata(checkpoint: Checkpoint) -> None:
    different = metadata_differences(checkpoint.tensors, checkpoint.metadata.model)
    if different:
        raise UserError(
            f"{checkpoint.path}: its metadata does not fit its tensors; they differ in {'; '.join(different)}. "
            "Use another copy of the file"
        )


def _is_ckpt(path: Path) -> bool:
    with reraise_corrupt_file(path), open(path, "rb") as file:
        return starts_ckpt(file.read(1))
