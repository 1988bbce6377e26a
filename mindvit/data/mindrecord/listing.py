"""Listing the image files of a source, and dividing them into shards."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from mindvit.classes import Classes
from mindvit.data.images import check_regular
from mindvit.data.mindrecord.manifest import Manifest, Shard
from mindvit.data.split import Source, Split
from mindvit.errors import UserError

SHARD_BYTES = 2**30
"""Default size of a shard, approximately: bytes of image files."""
MAX_SHARDS = 1000
"""Maximum number of shards that MindSpore reads together."""


@dataclass(frozen=True)
class ImageFiles:
    """A sequence of image files."""

    root: Path
    files: list[str]
    """Paths relative to the root."""
    labels: np.ndarray
    """int32, (num_images,)."""
    sizes: np.ndarray
    """int64, (num_images,): file sizes in bytes."""

    def __len__(self) -> int:
        return len(self.files)

    def slice(self, first: int, last: int) -> "ImageFiles":
        """The files with index ``first`` to ``last - 1``."""
        return ImageFiles(self.root, self.files[first:last], self.labels[first:last], self.sizes[first:last])


@dataclass(frozen=True)
class Listing:
    """The image files of a source, by split."""

    classes: Classes
    flip: bool
    splits: dict[str, ImageFiles]

    def plan(self, shards: int | None) -> Manifest:
        """Plans the shards: ``shards`` for each split, or by default as many as give about 1 GiB each.

        Raises:
            UserError: for more shards than a split has images.
        """
        planned = {name: _plan_shards(name, images, shards) for name, images in self.splits.items()}
        return Manifest(self.classes, self.flip, self._fingerprint(), planned)

    def shard_files(self, plan: Manifest) -> Iterator[tuple[str, int, ImageFiles]]:
        """The image files of each shard of a plan, with the name of its split and its index in the split."""
        for name, shards in plan.splits.items():
            ends = np.cumsum([0, *(shard.count for shard in shards)]).tolist()
            for index, (first, last) in enumerate(pairwise(ends)):
                yield name, index, self.splits[name].slice(first, last)

    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for name, images in self.splits.items():
            rows = zip(images.files, images.labels.tolist(), images.sizes.tolist(), strict=True)
            for row in rows:
                digest.update(json.dumps([name, *row]).encode())
        return digest.hexdigest()


def list_source(source: Source) -> Listing:
    """Lists the image files of a source. The only split of a source without splits is named ``all``.

    Raises:
        UserError: if a file is empty or cannot be read; the message names it.
    """
    named = {"train": source.train, "val": source.val, "test": source.test}
    if source.is_unsplit:
        named = {"all": source.train}
    splits = {name: split for name, split in named.items() if split is not None}
    first = next(iter(splits.values()))
    return Listing(first.classes, first.flip, {name: _list_split(split) for name, split in splits.items()})


def _list_split(split: Split) -> ImageFiles:
    root = Path(split.origin)
    paths = [Path(split.describe(index)) for index in range(len(split))]
    sizes = np.array([_file_size(path) for path in paths], np.int64)
    return ImageFiles(root, [path.relative_to(root).as_posix() for path in paths], split.labels, sizes)


def _file_size(path: Path) -> int:
    try:
        check_regular(path)
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"cannot read the image {path}: {error.strerror}") from error
    if not size:
        raise UserError(f"the image {path} is empty; repair or remove it")
    return size


def _plan_shards(name: str, images: ImageFiles, shards: int | None) -> tuple[Shard, ...]:
    count = len(images)
    if shards is None:
        shards = min(-(-int(images.sizes.sum()) // SHARD_BYTES), count, MAX_SHARDS)
    if shards > count:
        raise UserError(f"--shards {shards} is more than the {count} images of {images.root}")
    ends = [index * count // shards for index in range(shards + 1)]
    return tuple(
        Shard(f"{name}-{index:05d}-of-{shards:05d}", last - first) for index, (first, last) in enumerate(pairwise(ends))
    )
