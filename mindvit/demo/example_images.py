"""Example images for the page."""

import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from mindvit.data.folder import open_unlabelled
from mindvit.data.sources import open_source
from mindvit.data.split import Split
from mindvit.errors import UserError
from mindvit.weights.metadata import CheckpointMetadata

MAX_EXAMPLES = 10
_MAX_SIDE = 2048
"""Pixels. Larger examples are shrunk, so that they take little memory while the page is served."""


def find_examples(folder: str | None, metadata: CheckpointMetadata) -> list[Image.Image]:
    """At most ten example images: of a folder, or of the data that a checkpoint was trained on.

    Of a folder with its sub-folders they are evenly spaced in the order of their names. Of the data they are validation
    images, evenly spaced over the classes. There are none if the data are not on this machine.

    Args:
        folder: the folder; None: the data of the checkpoint.
        metadata: the metadata of the checkpoint.

    Raises:
        UserError: if the folder does not exist or has no image that can be read.
    """
    if folder is None:
        return list(islice(_of_training_data(metadata), MAX_EXAMPLES))
    images = open_unlabelled(Path(folder))
    found = list(islice(_readable(images, _evenly_spaced_first(len(images))), MAX_EXAMPLES))
    if not found:
        raise UserError(f"{folder} has no image that can be decoded; choose another folder with --examples")
    return found


def _evenly_spaced_first(count: int) -> list[int]:
    """All indices, ten evenly spaced ones first. The others follow for those that cannot be read."""
    spaced = np.linspace(0, count - 1, min(count, MAX_EXAMPLES)).round().astype(int).tolist()
    return spaced + sorted(set(range(count)) - set(spaced))


def _of_training_data(metadata: CheckpointMetadata) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Notes about the data are for training and evaluation.
            source = open_source(metadata.data_source, metadata.data_path)
    except (UserError, OSError):
        return
    split = source.val or source.train
    if split is None or not len(split):
        return
    firsts = [np.flatnonzero(split.labels == label)[0] for label in np.unique(split.labels)]
    chosen = np.linspace(0, len(firsts) - 1, min(len(firsts), MAX_EXAMPLES)).round().astype(int)
    yield from _readable(split, [firsts[index] for index in chosen])


def _readable(split: Split, indices: list[int]) -> Iterator[Image.Image]:
    for index in indices:
        try:
            image = split.read(int(index))
        except UserError:
            continue
        image.thumbnail((_MAX_SIDE, _MAX_SIDE))
        yield image
