"""How many images each class has, and how unequal these numbers are."""

import numpy as np

from mindvit.data.split import Split
from mindvit.printable import printable

UNBALANCED = 3.0
"""Imbalance ratio from which on class weights or balanced sampling are recommended."""
_SHOWN = 4
"""Classes whose number of images is written out."""
_MAX_NAME = 40
"""Characters of a class name."""


def images_per_class(split: Split) -> np.ndarray:
    """The number of images of each class, int64 (num_classes,)."""
    return np.bincount(split.labels, minlength=len(split.classes))


def imbalance_ratio(counts: np.ndarray) -> float:
    """Images of the largest class per image of the smallest one, among the classes that have images; at least 1."""
    present = counts[counts > 0]
    return float(present.max() / present.min()) if len(present) else 1.0


def describe_balance(split: Split) -> str:
    """The images per class and the imbalance ratio of a split, in one line."""
    counts = images_per_class(split)
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    if counts[order[0]] == counts[order[-1]]:
        return f"{counts[order[0]]:,} images per class"
    chosen = order if len(order) <= _SHOWN else order[[0, -1]]
    shown = ", ".join(f"{printable(split.classes.names[label], _MAX_NAME)} {counts[label]:,}" for label in chosen)
    which = "images per class" if len(order) <= _SHOWN else "images of the largest and the smallest class"
    return f"{imbalance_ratio(counts):.1f} : 1; {which}: {shown}"
