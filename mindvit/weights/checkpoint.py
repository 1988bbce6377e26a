"""This project's checkpoints: weights, and metadata that says how to use them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mindspore import Parameter, nn

from mindvit.errors import UserError
from mindvit.weights.formats.ckpt import ckpt_arrays, read_ckpt, write_ckpt
from mindvit.weights.layouts.layout import Layout
from mindvit.weights.metadata import METADATA_KEY, CheckpointMetadata, read_metadata
from mindvit.weights.published_architecture import Stated

TRAIN_STATE_KEY = "mindvit.train_state"
"""Name of the text that marks a file as a training checkpoint, which holds more than weights."""
OLD_TRAIN_STATE_KEY = "mindvit.state"
"""The same in files of format 1."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a weights file."""

    path: Path
    tensors: dict[str, np.ndarray]
    """Weights by this project's names; floating point, bfloat16 included, as float32."""
    metadata: CheckpointMetadata | None
    """None in files of other programs."""
    layout: Layout | None = None
    """Layout of another program's file; None for this project's own."""
    architecture: Mapping[str, Stated] = field(default_factory=dict)
    """What the ``config.json`` beside another program's file says of the network, by the names of ``ViTConfig``."""


def write_checkpoint(path: Path, weights: nn.Cell | dict[str, Parameter], metadata: CheckpointMetadata) -> None:
    """Writes weights (of a network, or by name) and metadata, with checksums, atomically.

    Raises:
        UserError: if the file cannot be written.
    """
    write_ckpt(path, weights, {METADATA_KEY: metadata.to_json()})


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a ``.ckpt`` file, and verifies its checksums where it has them. Nothing in it is executed.

    Raises:
        UserError: if the file cannot be read, is corrupt, is not a checkpoint, or is a training checkpoint.
    """
    tensors, texts = read_ckpt(path)
    if TRAIN_STATE_KEY in texts or OLD_TRAIN_STATE_KEY in texts:
        raise UserError(
            f"{path} is a training checkpoint, which is for --resume only; "
            "use best.ckpt or last.ckpt of the run folder instead"
        )
    try:
        metadata = read_metadata(texts)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return Checkpoint(Path(path), ckpt_arrays(tensors), metadata)
