"""The settings of the data and of its augmentation."""

import math
import os
from dataclasses import dataclass
from typing import Literal

from mindvit.config import setting
from mindvit.models.choices import check_choices

SourceName = Literal["folder", "imagenet", "cifar10", "cifar100", "digits", "mindrecord"]
OnCorrupt = Literal["error", "skip"]
CropName = Literal["random_resized", "padded"]
AutoAugmentName = Literal[
    "none", "randaugment", "autoaugment", "autoaugment_cifar10", "trivialaugment", "three_augment"
]

CORES = os.cpu_count() or 1
"""Threads that can prepare images: MindSpore takes no more than one a core."""


@dataclass(frozen=True)
class DataSettings:
    """Which images, and how they are read."""

    source: SourceName = "folder"
    """Kind of data source."""
    path: str | None = None
    """Folder of the source; digits has dataset/digits by default, imagenet has dataset, the others have none."""
    classes: tuple[str, ...] | None = None
    """Train and validate on these classes alone, by their ids (names of folders); null takes all."""
    samples_per_class: int | None = None
    """Training images of each class, at most, evenly spread over the source's order; null takes all."""
    batch_size: int = 16
    """Images per step and worker."""
    num_workers: int = setting(min(8, CORES), changeable=True, per_node=True)
    """Data workers: threads that read and augment images, at most one per core."""
    on_corrupt: OnCorrupt = "error"
    """What an image that cannot be decoded does: error ends the run, skip leaves it out, counts and lists it."""

    def __post_init__(self) -> None:
        check_loading(self.batch_size, self.num_workers)
        check_classes(self.classes)
        if self.samples_per_class is not None and self.samples_per_class < 1:
            raise ValueError(f"data.samples_per_class must be at least 1, not {self.samples_per_class}")


@dataclass(frozen=True)
class AugmentSettings:
    """How training images are varied."""

    crop: CropName = "random_resized"
    """A crop of random size and shape, or the image padded by an eighth of its side and shifted at random (CIFAR)."""
    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Least and greatest area of the random crop, as fractions of the image's."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Least and greatest width/height of the random crop."""
    flip: bool | None = None
    """Whether to mirror every other image; by default wherever that keeps the class (not for digits)."""
    auto_augment: AutoAugmentName = "none"
    """Operations on colours and shapes: which published policy draws them."""
    randaugment_ops: int = 2
    """RandAugment: operations drawn for an image."""
    randaugment_magnitude: float = 9.0
    """RandAugment: how far the operations go, 0 to 10."""
    randaugment_noise: float = 0.0
    """RandAugment: standard deviation of the normal noise on the magnitude; 0.5 in DeiT."""
    randaugment_prob: float = 0.5
    """RandAugment: probability with which each drawn operation is applied; 0.5 in timm, 1 in the paper."""
    color_jitter: float = 0.0
    """Greatest change of brightness, contrast and saturation, as a fraction; 0 is off."""
    random_erasing: float = 0.0
    """Probability of filling a random box with noise; 0 is off."""
    mixup: float = 0.0
    """Alpha of the Beta distribution that weighs two mixed images; 0 is off."""
    cutmix: float = 0.0
    """Alpha of the Beta distribution of the area pasted from another image; 0 is off."""
    mixup_prob: float = 1.0
    """Probability of mixing a batch, where mixup or cutmix is on."""
    mixup_switch_prob: float = 0.5
    """Probability of cutmix rather than mixup, where both are on."""
    repeated_aug: int = 1
    """Repeated augmentation: an epoch visits 1/repeated_aug of the images, each this many times."""

    def __post_init__(self) -> None:
        check_choices(self, "augment.")
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"augment.crop_scale needs 0 < least <= greatest <= 1, not {list(self.crop_scale)}")
        low, high = self.crop_ratio
        if not 0 < low <= high:
            raise ValueError(f"augment.crop_ratio needs 0 < least <= greatest, not {list(self.crop_ratio)}")
        for name in ("randaugment_prob", "color_jitter", "random_erasing", "mixup_prob", "mixup_switch_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"augment.{name} must lie between 0 and 1, not {getattr(self, name)}")
        for name in ("randaugment_noise", "mixup", "cutmix"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"augment.{name} must be a number from 0 up, not {getattr(self, name)}")
        if not 0 <= self.randaugment_magnitude <= 10:
            raise ValueError(
                f"augment.randaugment_magnitude must lie between 0 and 10, not {self.randaugment_magnitude}"
            )
        for name in ("randaugment_ops", "repeated_aug"):
            if getattr(self, name) < 1:
                raise ValueError(f"augment.{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class EvalDataSettings:
    """Which images to evaluate on. What is left empty (null) is what the checkpoint was trained with."""

    source: SourceName | None = None
    """Kind of data source."""
    path: str | None = None
    """Folder of the source; given without a source it is an image folder, unless the checkpoint knows better."""
    split: Literal["train", "val"] = "val"
    """Which split of the source."""
    classes: tuple[str, ...] | None = None
    """Evaluate on these classes alone, by their ids; by default on all, or on those that the checkpoint knows if it was
    trained on a part of its source's. How many images that leaves out is said."""
    batch_size: int = 32
    """Images per step and worker; it has no bearing on the result."""
    num_workers: int = min(8, CORES)
    """Threads that prepare images, at most one a core."""
    on_corrupt: OnCorrupt = "error"
    """What an image that cannot be decoded does: error ends the run, skip leaves it out, counts and lists it."""

    def __post_init__(self) -> None:
        check_loading(self.batch_size, self.num_workers)
        check_classes(self.classes)


def check_loading(batch_size: int, num_workers: int, group: str = "data.") -> None:
    """Checks the settings that every reader of data has; ``group`` is what their names begin with.

    Raises:
        ValueError: naming the one that is out of range.
    """
    if batch_size < 1:
        raise ValueError(f"{group}batch_size must be at least 1, not {batch_size}")
    if not 1 <= num_workers <= CORES:
        raise ValueError(f"{group}num_workers must lie between 1 and this machine's {CORES} cores, not {num_workers}")


def check_classes(classes: tuple[str, ...] | None) -> None:
    """Checks a choice of classes.

    Raises:
        ValueError: for fewer than two, or one that is chosen twice.
    """
    if classes is None:
        return
    if len(classes) < 2:
        raise ValueError(f"data.classes needs at least two classes to tell apart, not {list(classes)}")
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise ValueError(f"data.classes names {', '.join(twice)} more than once")
