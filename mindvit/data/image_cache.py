"""Decoded images of a source, kept in memory: each image is decoded once in a run."""

import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np
import psutil
from PIL import Image

from mindvit.data.images import ScaleChoice
from mindvit.data.split import Source, Split
from mindvit.errors import UserError

_BYTES_PER_PIXEL = 4
"""Pillow keeps RGB in four bytes."""
_SHARE = 0.8
"""Part of the free memory that cached images may take; the network takes some of the rest."""
_SAMPLES = 64
"""Images of a split that are decoded to estimate the size of all."""


def cache_images(source: Source, processes: int = 1, available: int | None = None) -> Source:
    """The same source, whose train and val images stay in memory once they are decoded.

    An image is stored when it is first read, at each scale that it is read at. All data workers (threads) share it.
    What is read does not change by a bit. If the images prove larger than estimated, those that do not fit are decoded
    at every read, and a warning says so: memory is bounded.

    Args:
        source: the source.
        processes: processes on this machine that each cache the same images (the ranks of a job).
        available: free memory of the machine, in bytes; None asks the system.

    Raises:
        UserError: if 80 % of the free memory is less than the images will take.
    """
    splits = {id(split): split for split in (source.train, source.val) if split is not None}
    limit = int(_SHARE * (available_memory() if available is None else available)) // processes
    needed = sum(_estimated_bytes(split) for split in splits.values())
    if needed > limit:
        count = sum(map(len, splits.values()))
        ranks = f" for each of {processes} ranks" if processes > 1 else ""
        raise UserError(
            f"data.cache ram needs about {needed / 1e9:,.1f} GB for {count:,} decoded images, and "
            f"{limit / 1e9:,.1f} GB of memory are free{ranks}; set data.cache none, or use fewer images "
            "(data.samples_per_class)"
        )
    budget = _Budget(limit)
    cached = {key: _cached(split, budget) for key, split in splits.items()}
    train, val = (split and cached[id(split)] for split in (source.train, source.val))
    return replace(source, train=train, val=val)


def available_memory() -> int:
    """Bytes of memory that are free for new data: of the machine, or of the container if that has less."""
    available = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # "max" stands for no limit.
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        rows = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # Cached files count as used, but the system drops them as soon as a process asks for memory.
        used -= int(rows["active_file"]) + int(rows["inactive_file"])
        available = min(available, max(limit - used, 0))
    return available


class _Budget:
    """The bytes that may still be stored."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._lock = Lock()
        self._is_noted = False

    def take(self, count: int) -> bool:
        """Whether ``count`` bytes may be stored. The first refusal is a warning."""
        with self._lock:
            if count <= self._left:
                self._left -= count
                return True
            is_first, self._is_noted = not self._is_noted, True
        if is_first:
            warnings.warn(
                "data.cache ram: the images are larger than estimated. The memory for them is full, and the others are "
                "decoded each time",
                stacklevel=2,
            )
        return False


def _cached(split: Split, budget: _Budget) -> Split:
    stored: dict[tuple[int, int], Image.Image] = {}  # By index and scale.
    known: dict[int, tuple[tuple[int, int], bool]] = {}  # What a choice of the scale depends on.
    lock = Lock()

    def store(index: int, scale: int, image: Image.Image) -> Image.Image:
        with lock:  # Two workers may read the same image: repeated augmentation shows it twice in a row.
            if (index, scale) not in stored and budget.take(_bytes(image)):
                # A copy of the pixels alone: the image of a file also holds its metadata.
                stored[index, scale] = Image.fromarray(np.asarray(image))
        return image

    def read(index: int) -> Image.Image:
        image = stored.get((index, 1))
        return store(index, 1, split.read(index)) if image is None else image

    def read_scaled(index: int, choose_scale: ScaleChoice) -> Image.Image:
        if index in known:
            image = stored.get((index, choose_scale(*known[index])))
            if image is not None:
                return image
        scales = []

        def choose(size: tuple[int, int], is_reducible: bool) -> int:
            known[index] = size, is_reducible
            scales.append(choose_scale(size, is_reducible))
            return scales[-1]

        image = split.read_scaled(index, choose)
        return store(index, scales[-1], image)

    return replace(split, read=read, read_scaled=split.read_scaled and read_scaled)


def _estimated_bytes(split: Split) -> int:
    indices = np.unique(np.linspace(0, len(split) - 1, _SAMPLES).round().astype(int))
    sizes = [_bytes(image) for image in _readable(split, indices.tolist())]
    return round(np.mean(sizes) * len(split)) if sizes else 0


def _readable(split: Split, indices: Iterable[int]) -> Iterable[Image.Image]:
    for index in indices:
        with suppress(UserError):  # The run reports or skips it.
            yield split.read(index)


def _bytes(image: Image.Image) -> int:
    return _BYTES_PER_PIXEL * image.width * image.height
