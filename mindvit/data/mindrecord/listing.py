"""What a source holds, file by file, and how it is cut into shards."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from mindvit.classes import Classes
from mindvit.data.mindrecord.manifest import Manifest, Shard
from mindvit.data.split import Source, Split
from mindvit.errors import UserError

SHARD_BYTES = 2**30
"""Images that a shard holds by default, about."""
MOST_SHARDS = 1000
"""MindSpore reads no more of them together."""


@dataclass(frozen=True)
class Images:
    """Image files, in order."""

    root: Path
    files: list[str]
    """Their paths below the root."""
    labels: np.ndarray
    sizes: np.ndarray
    """int64, (num_images,): bytes."""

    def __len__(self) -> int:
        return len(self.files)

    def part(self, first: int, last: int) -> "Images":
        """Those from ``first`` to before ``last``."""
        return Images(self.root, self.files[first:last], self.labels[first:last], self.sizes[first:last])


@dataclass(frozen=True)
class Listing:
    """The images of a source by the names of its splits."""

    classes: Classes
    flip: bool
    splits: dict[str, Images]

    def plan(self, shards: int | None) -> Manifest:
        """The shards to write: ``shards`` for each split, or by default as many as make about a GiB each.

        Raises:
            UserError: for more shards than a split has images, or than MindSpore reads.
        """
        planned = {name: _cut(name, images, shards) for name, images in self.splits.items()}
        return Manifest(self.classes, self.flip, self._fingerprint(), planned)

    def parts(self, plan: Manifest) -> Iterator[tuple[str, int, Images]]:
        """The images of each shard of a plan, with its split and its number."""
        for name, shards in plan.splits.items():
            ends = np.cumsum([0, *(shard.count for shard in shards)]).tolist()
            for number, (first, last) in enumerate(pairwise(ends)):
                yield name, number, self.splits[name].part(first, last)

    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for name, images in self.splits.items():
            rows = zip(images.files, images.labels.tolist(), images.sizes.tolist(), strict=True)
            for row in rows:
                digest.update(json.dumps([name, *row]).encode())
        return digest.hexdigest()


def list_source(source: Source) -> Listing:
    """Lists a source whose images are files, under the names of their splits, or ``all`` where it is not split.

    Raises:
        UserError: naming a file that is empty or cannot be read.
    """
    named = {"all": source.train} if source.train is source.val else {"train": source.train, "val": source.val}
    splits = {name: split for name, split in named.items() if split is not None}
    first = next(iter(splits.values()))
    return Listing(first.classes, first.flip, {name: _list_split(split) for name, split in splits.items()})


def _list_split(split: Split) -> Images:
    root = Path(split.origin)
    paths = [Path(split.describe(index)) for index in range(len(split))]
    sizes = np.array([_size(path) for path in paths], np.int64)
    return Images(root, [path.relative_to(root).as_posix() for path in paths], split.labels, sizes)


def _size(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"cannot read the image {path}: {error.strerror}") from error
    if not size:
        raise UserError(f"the image {path} is empty; repair or remove it")
    return size


def _cut(name: str, images: Images, shards: int | None) -> tuple[Shard, ...]:
    count = len(images)
    if shards is None:
        shards = min(-(-int(images.sizes.sum()) // SHARD_BYTES), count, MOST_SHARDS)
    if shards > count:
        raise UserError(f"--shards {shards} is more than the {count} images of {images.root}")
    ends = [number * count // shards for number in range(shards + 1)]
    names = [f"{name}-{number:05d}-of-{shards:05d}" for number in range(shards)]
    return tuple(Shard(own, last - first) for own, (first, last) in zip(names, pairwise(ends), strict=True))
