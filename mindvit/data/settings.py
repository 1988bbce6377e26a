"""The settings of the data and of its augmentation."""

import os
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DataSettings:
    """Which pictures, and how they are read."""

    source: Literal["folder", "imagenet", "cifar10", "cifar100", "digits"] = "folder"
    """Kind of data source."""
    path: str | None = None
    """Folder of the source; by default dataset/digits for digits and dataset for the others."""
    batch_size: int = 16
    """Pictures per step and worker."""
    num_workers: int = min(8, os.cpu_count() or 1)
    """Threads that prepare pictures, at most one a core."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"data.batch_size must be at least 1, not {self.batch_size}")
        cores = os.cpu_count() or 1
        if not 1 <= self.num_workers <= cores:
            raise ValueError(f"data.num_workers must lie between 1 and this machine's {cores} cores")


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
