"""The settings of the data and of its augmentation."""

import os
from dataclasses import dataclass
from typing import Literal

SourceName = Literal["folder", "imagenet", "cifar10", "cifar100", "digits"]

_CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class DataSettings:
    """Which pictures, and how they are read."""

    source: SourceName = "folder"
    """Kind of data source."""
    path: str | None = None
    """Folder of the source; digits has dataset/digits by default, imagenet has dataset, the others have none."""
    batch_size: int = 16
    """Pictures per step and worker."""
    num_workers: int = min(8, _CORES)
    """Threads that prepare pictures, at most one a core."""

    def __post_init__(self) -> None:
        check_loading(self.batch_size, self.num_workers)


@dataclass(frozen=True)
class AugmentSettings:
    """How training pictures are varied."""

    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Least and greatest area of the random crop, as fractions of the picture's."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Least and greatest width/height of the random crop."""
    flip: bool | None = None
    """Whether to mirror every other picture; by default wherever that keeps the class (not for digits)."""

    def __post_init__(self) -> None:
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"augment.crop_scale needs 0 < least <= greatest <= 1, not {list(self.crop_scale)}")
        low, high = self.crop_ratio
        if not 0 < low <= high:
            raise ValueError(f"augment.crop_ratio needs 0 < least <= greatest, not {list(self.crop_ratio)}")


@dataclass(frozen=True)
class EvalDataSettings:
    """Which pictures to evaluate on. What is left empty (null) is what the checkpoint was trained with."""

    source: SourceName | None = None
    """Kind of data source."""
    path: str | None = None
    """Folder of the source; given without a source it is an image folder, unless the checkpoint knows better."""
    split: Literal["train", "val"] = "val"
    """Which split of the source."""
    batch_size: int = 32
    """Pictures per step and worker; it has no bearing on the result."""
    num_workers: int = min(8, _CORES)
    """Threads that prepare pictures, at most one a core."""

    def __post_init__(self) -> None:
        check_loading(self.batch_size, self.num_workers)


def check_loading(batch_size: int, num_workers: int) -> None:
    """Checks the settings that every reader of data has.

    Raises:
        ValueError: naming the one that is out of range.
    """
    if batch_size < 1:
        raise ValueError(f"data.batch_size must be at least 1, not {batch_size}")
    if not 1 <= num_workers <= _CORES:
        raise ValueError(f"data.num_workers must lie between 1 and this machine's {_CORES} cores, not {num_workers}")
