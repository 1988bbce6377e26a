"""Which settings, or which changes of the data, help with what the command check-data has found."""

from collections.abc import Iterator

import numpy as np

from mindvit.data.check.data_report import DataReport
from mindvit.data.class_balance import UNBALANCED, images_per_class, imbalance_ratio

_FEW_PER_CLASS = 10
_FEW_IN_TOTAL = 5_000
"""Training images below which a ViT from random weights is far behind a pretrained one."""
_SMALL_SIDE = 96
"""Median of the shorter side, in pixels, below which a model for 224 px only enlarges."""


def advise(report: DataReport) -> Iterator[str]:
    """Yields one sentence for each thing to do, the most important ones first."""
    train, val = report.splits.get("train"), report.splits.get("val")
    if report.corrupt:
        yield "repair or remove the corrupt images, or leave them out with --data.on_corrupt skip"
    if report.conflicts:
        yield "give each image one class: equal images with different labels cannot be learned"
    if report.leaks:
        yield "remove the images that are in more than one split: the accuracy on them says nothing about new images"
    if train is None:
        yield "add a train split; training needs one"
        return
    if val is None:
        yield "hold out images for validation with --data.val_fraction 0.2"
    elif report.without_images("val"):
        yield "add validation images of the missing classes: no metric covers them"
    counts = images_per_class(train)
    if imbalance_ratio(counts) >= UNBALANCED:
        yield (
            "the classes are unbalanced: use --loss.class_weights balanced or --data.balanced_sampling true, and judge "
            "the result by the recall of each class"
        )
    few = int(np.count_nonzero((counts > 0) & (counts < _FEW_PER_CLASS)))
    if few:
        classes = "1 class has" if few == 1 else f"{few} classes have"
        yield f"{classes} fewer than {_FEW_PER_CLASS} training images: add some"
    if len(train) < _FEW_IN_TOTAL:
        yield "with so few images, start from pretrained weights (configs/finetune_own_images.yaml)"
    if len(report.sizes) and np.median(report.sizes.min(1)) < _SMALL_SIDE:
        yield "the images are small: use a model with a smaller --model.image_size than 224"
