"""Settings of the data and of data augmentation."""

import os
from dataclasses import dataclass
from typing import Literal

from mindvit.config import setting
from mindvit.models.setting_checks import check_values

SourceName = Literal["folder", "imagenet", "cifar10", "cifar100", "digits", "mindrecord"]
OnCorrupt = Literal["error", "skip"]
CacheName = Literal["none", "ram"]
CropName = Literal["random_resized", "padded"]
AutoAugmentName = Literal[
    "none", "randaugment", "autoaugment", "autoaugment_cifar10", "trivialaugment", "three_augment"
]

CORES = os.cpu_count() or 1
"""Greatest number of data workers: MindSpore allows one per core."""
MAX_BATCH_SIZE = 65_536
"""Greatest number of images in a batch: 39 GB at 224 px. A batch is made in memory as a whole."""


@dataclass(frozen=True)
class SourceSettings:
    """A data source, and which of its images are held out for validation."""

    source: SourceName = "folder"
    """Kind of data source."""
    path: str | None = None
    """Folder of the source. Default: dataset/digits for digits, dataset for imagenet, none for the others."""
    labels: str | None = None
    """CSV file with the columns file, label and optionally split, for images in one folder (source folder). A relative
    path starts here or in data.path."""
    val_fraction: float | None = None
    """Fraction of the images of each class to hold out for validation, for data without a val split. null holds out
    none."""
    split_seed: int = 0
    """Seed of the choice of these images. It does not depend on train.seed."""


@dataclass(frozen=True)
class DataSettings(SourceSettings):
    """Data source and data loading."""

    classes: tuple[str, ...] | None = None
    """Ids (folder names) of the classes to train and validate on. null uses all classes."""
    samples_per_class: int | None = None
    """Maximum number of training images per class, evenly spaced in source order. null uses all images."""
    balanced_sampling: bool = False
    """Show each class equally often in training. An epoch keeps its length, so it repeats images of rare classes and
    omits some of the others."""
    batch_size: int = 16
    """Images per step and rank."""
    num_workers: int = setting(min(8, CORES), changeable=True, per_node=True)
    """Data workers (threads) that read and augment images, at most one per core."""
    on_corrupt: OnCorrupt = "error"
    """What to do with an image that cannot be decoded. error stops the run; skip omits, counts and lists the image."""

    reduced_decode: bool = True
    """Decode a JPEG at 1/2, 1/4 or 1/8 of its size in training, if its random crop still has at least as many pixels as
    the network sees. Evaluation decodes whole images."""
    cache: CacheName = setting("none", changeable=True)  # noqa: RUF009 (a field)
    """ram keeps all decoded images in memory, at four bytes a pixel, so that each is decoded once. Each rank has
    its own cache, which must fit into the free memory."""

    def __post_init__(self) -> None:
        check_values(self, "data.")
        check_loading(self.batch_size, self.num_workers)
        check_classes(self.classes)
        check_hold_out(self.val_fraction, self.split_seed)
        if self.samples_per_class is not None and self.samples_per_class < 1:
            raise ValueError(f"data.samples_per_class must be at least 1, not {self.samples_per_class}")


@dataclass(frozen=True)
class AugmentSettings:
    """Data augmentation of training images."""

    crop: CropName = "random_resized"
    """random_resized crops a random area at a random aspect ratio. padded pads each side by 1/8 and crops (CIFAR)."""
    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Minimum and maximum area of the random resized crop, as fractions of the image area."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Minimum and maximum aspect ratio (width / height) of the random resized crop."""
    flip: bool | None = None
    """Random horizontal flip with probability 0.5. null enables it unless a flip changes the class (digits)."""
    auto_augment: AutoAugmentName = "none"
    """Augmentation policy for colors and geometry."""
    randaugment_ops: int = 2
    """RandAugment: number of operations per image."""
    randaugment_magnitude: float = 9.0
    """RandAugment: magnitude of the operations, 0 to 10."""
    randaugment_noise: float = 0.0
    """RandAugment: standard deviation of the Gaussian noise on the magnitude. DeiT uses 0.5."""
    randaugment_prob: float = 0.5
    """RandAugment: probability of applying each selected operation. timm uses 0.5, the paper 1."""
    color_jitter: float = 0.0
    """Maximum relative change of brightness, contrast and saturation. 0 disables color jitter."""
    random_erasing: float = 0.0
    """Probability of random erasing, which fills a random box with noise. 0 disables it."""
    mixup: float = 0.0
    """Mixup alpha: parameter of the Beta distribution of the mixing weight. 0 disables Mixup."""
    cutmix: float = 0.0
    """CutMix alpha: parameter of the Beta distribution of the pasted area. 0 disables CutMix."""
    mixup_prob: float = 1.0
    """Probability of applying Mixup or CutMix to a batch, if either is enabled."""
    mixup_switch_prob: float = 0.5
    """Probability of CutMix instead of Mixup, if both are enabled."""
    repeated_aug: int = 1
    """Repeated augmentation: repeats of an image per epoch. An epoch shows 1/repeated_aug of the images."""

    def __post_init__(self) -> None:
        check_values(self, "augment.")
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"augment.crop_scale needs 0 < minimum <= maximum <= 1, not {list(self.crop_scale)}")
        low, high = self.crop_ratio
        if not 0 < low <= high:
            raise ValueError(f"augment.crop_ratio needs 0 < minimum <= maximum, not {list(self.crop_ratio)}")
        for name in ("randaugment_prob", "color_jitter", "random_erasing", "mixup_prob", "mixup_switch_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"augment.{name} must lie between 0 and 1, not {getattr(self, name)}")
        for name in ("randaugment_noise", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise ValueError(f"augment.{name} must be at least 0, not {getattr(self, name)}")
        if not 0 <= self.randaugment_magnitude <= 10:
            raise ValueError(
                f"augment.randaugment_magnitude must lie between 0 and 10, not {self.randaugment_magnitude}"
            )
        if not 1 <= self.randaugment_ops <= 100:
            raise ValueError(f"augment.randaugment_ops must lie between 1 and 100, not {self.randaugment_ops}")
        if self.repeated_aug < 1:
            raise ValueError(f"augment.repeated_aug must be at least 1, not {self.repeated_aug}")


@dataclass(frozen=True)
class EvalDataSettings:
    """Data to evaluate on. null uses the value that the checkpoint was trained with."""

    source: SourceName | None = None
    """Kind of data source."""
    path: str | None = None
    """Folder of the source. Without data.source, the checkpoint's source reads it (folder instead of digits)."""
    split: Literal["train", "val", "test"] = "val"
    """Split of the source."""
    labels: str | None = None
    """CSV file with the labels of the images, as in training."""
    val_fraction: float | None = None
    """Fraction of the images to hold out as the val split, as in training."""
    split_seed: int | None = None
    """Seed of the choice of these images."""
    classes: tuple[str, ...] | None = None
    """Ids of the classes to evaluate on; the number of omitted images is printed. null uses all classes, or those of
    the checkpoint if it was trained on some classes of its source."""
    batch_size: int = 32
    """Images per step and rank. The result does not depend on it."""
    num_workers: int = min(8, CORES)
    """Data workers (threads) that read and transform images, at most one per core."""
    on_corrupt: OnCorrupt = "error"
    """What to do with an image that cannot be decoded. error stops the run; skip omits, counts and lists the image."""

    def __post_init__(self) -> None:
        check_values(self, "data.")
        check_loading(self.batch_size, self.num_workers)
        check_classes(self.classes)
        check_hold_out(self.val_fraction, self.split_seed)


def check_loading(batch_size: int, num_workers: int, group: str = "data.") -> None:
    """Checks the settings of data loading.

    Args:
        batch_size: images per batch.
        num_workers: data workers.
        group: prefix of the setting names in messages.

    Raises:
        ValueError: if a setting is out of range; the message names it.
    """
    if batch_size < 1:
        raise ValueError(f"{group}batch_size must be at least 1, not {batch_size}")
    if batch_size > MAX_BATCH_SIZE:
        raise ValueError(f"{group}batch_size must be at most {MAX_BATCH_SIZE:,} images, not {batch_size:,}")
    if not 1 <= num_workers <= CORES:
        raise ValueError(f"{group}num_workers must lie between 1 and this machine's {CORES} cores, not {num_workers}")


def check_classes(classes: tuple[str, ...] | None) -> None:
    """Checks the setting ``data.classes``.

    Raises:
        ValueError: for fewer than two classes, or a class that is listed twice.
    """
    if classes is None:
        return
    if len(classes) < 2:
        raise ValueError(f"data.classes needs at least two classes, not {list(classes)}")
    duplicates = sorted({name for name in classes if classes.count(name) > 1})
    if duplicates:
        raise ValueError(f"data.classes lists {', '.join(duplicates)} more than once")


def check_hold_out(val_fraction: float | None, split_seed: int | None, group: str = "data.") -> None:
    """Checks the settings of ``mindvit.data.holdout.hold_out``.

    Args:
        val_fraction: fraction of the images of each class.
        split_seed: seed of the choice.
        group: prefix of the setting names in messages.

    Raises:
        ValueError: if one is out of range; the message names it.
    """
    if val_fraction is not None and not 0 < val_fraction < 1:
        raise ValueError(f"{group}val_fraction must lie between 0 and 1, such as 0.2, not {val_fraction}")
    if split_seed is not None and not 0 <= split_seed < 2**31:
        raise ValueError(f"{group}split_seed must lie in [0, 2147483648), not {split_seed}")
