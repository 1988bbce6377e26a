"""Holding out validation images of a data source that has none."""

import hashlib
from dataclasses import replace

import numpy as np

from mindvit.data.fingerprint import name_in_class
from mindvit.data.split import Source
from mindvit.errors import UserError


def hold_out(source: Source, fraction: float, seed: int) -> Source:
    """Holds out a part of the images for validation: stratified, and fixed by the seed and the names of the images.

    Each class of n images gives ``fraction * n`` of them, rounded, at least 1 and at most n - 1; a class of one image
    gives none. The images of a class are ordered by a hash of seed and name, and the first ones go to val. So the split
    does not depend on the order of the files, on other classes, or on the name of the class, and an image that is added
    moves at most one other image.

    Args:
        source: a source without a val split.
        fraction: fraction of the images of each class, between 0 and 1.
        seed: seed of the choice.

    Raises:
        UserError: if the source has a val split, or if no class has two images.
    """
    if source.val is not None and not source.is_unsplit:
        raise UserError(
            f"{source.val.origin} is the val split of the data, so data.val_fraction {fraction:g} cannot hold out "
            "another one; set data.val_fraction to null"
        )
    pool = source.train
    if pool is None:
        raise UserError(f"{source.test.origin} has no training images that data.val_fraction could hold out")
    is_val = np.zeros(len(pool), bool)
    for label in np.unique(pool.labels):
        indices = np.flatnonzero(pool.labels == label)
        names = [name_in_class(pool.name(index), pool.classes.ids[label]) for index in indices.tolist()]
        order = sorted(range(len(names)), key=[_hash(seed, name) for name in names].__getitem__)
        is_val[indices[order[: _num_held_out(len(names), fraction)]]] = True
    if not is_val.any():
        raise UserError(f"{pool.origin} has no class with two images, so data.val_fraction can hold out none")
    train, val = (pool.take(np.flatnonzero(chosen)) for chosen in (~is_val, is_val))
    return replace(source, train=train, val=val, divided=str(pool.fingerprint()))


def _num_held_out(count: int, fraction: float) -> int:
    return 0 if count < 2 else min(max(int(count * fraction + 0.5), 1), count - 1)


def _hash(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{name}".encode("utf-8", "surrogateescape"), digest_size=16).digest()
