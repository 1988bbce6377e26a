"""Fingerprints of data: whether a run that resumes has the same classes, files and labels, and what has changed.

The content of the files is not read.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SplitFingerprint:
    """What tells a split from another one."""

    class_ids: tuple[str, ...]
    """Ids of the classes, in the order of their labels."""
    counts: tuple[int, ...]
    """Images of each class."""
    digests: tuple[str, ...]
    """Digest of the names of the images of each class, in the order of the split, without the folder of the class."""

    def __post_init__(self) -> None:
        if not len(self.class_ids) == len(self.counts) == len(self.digests):
            raise ValueError("a fingerprint needs a count and a digest for each class")

    def __str__(self) -> str:
        content = repr((self.class_ids, self.counts, self.digests)).encode("utf-8", "surrogateescape")
        return f"{sum(self.counts)} images of {len(self.class_ids)} classes ({_digest(content)})"


@dataclass(frozen=True)
class DataFingerprint:
    """The fingerprints of the splits of a run."""

    train: SplitFingerprint
    val: SplitFingerprint | None
    """None without validation images."""


@dataclass(frozen=True)
class DataChanges:
    """How data differ from earlier data, in words."""

    labels: tuple[str, ...]
    """Classes that are new, gone, or at another label. A head trained on the earlier data is wrong for them."""
    others: tuple[str, ...]
    """Renamed classes that keep their labels, and classes with more, fewer or other files."""


def fingerprint_of(class_ids: tuple[str, ...], labels: np.ndarray, name: Callable[[int], str]) -> SplitFingerprint:
    """The fingerprint of a split. It takes about a second for a million images.

    Args:
        class_ids: ids of the classes, in the order of their labels.
        labels: labels of the images, (num_images,).
        name: returns the name of the image at an index.
    """
    counts = np.bincount(labels, minlength=len(class_ids))
    by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    digests = []
    for class_id, indices in zip(class_ids, by_class, strict=True):
        names = "\0".join(name_in_class(name(index), class_id) for index in indices.tolist())
        digests.append(_digest(names.encode("utf-8", "surrogateescape")))
    return SplitFingerprint(class_ids, tuple(counts.tolist()), tuple(digests))


def name_in_class(name: str, class_id: str) -> str:
    """The name of an image without the folder of its class, so that a renamed class keeps the names of its images."""
    return name.removeprefix(f"{class_id}/")


def compare(before: DataFingerprint, now: DataFingerprint) -> DataChanges:
    """How data have changed. A class with another name and the same files is taken for a renamed one."""
    labels, others = _compare_classes(before.train, now.train)
    for name, old, new in (("train", before.train, now.train), ("val", before.val, now.val)):
        if old is not None and new is not None:
            others += _compare_files(name, old, new)
        elif old is not new:
            others.append(f"there is {'no' if new is None else 'a'} {name} split now")
    return DataChanges(tuple(labels), tuple(others))


def _compare_classes(before: SplitFingerprint, now: SplitFingerprint) -> tuple[list[str], list[str]]:
    successors = _successors(before, now)
    moved, renamed = [], []
    for old, new in successors.items():
        names = before.class_ids[old], now.class_ids[new]
        if old != new and names[0] == names[1]:
            moved.append(f"class {names[0]!r} has the label {new} instead of {old}")
        elif old != new:
            moved.append(f"class {names[0]!r} (label {old}) is now {names[1]!r} (label {new})")
        elif names[0] != names[1]:
            renamed.append(f"class {names[0]!r} is now {names[1]!r}")
    gone = [name for label, name in enumerate(before.class_ids) if label not in successors]
    added = sorted(set(range(len(now.class_ids))) - set(successors.values()))
    moved = [f"class {name!r} is gone" for name in gone] + [f"class {now.class_ids[i]!r} is new" for i in added] + moved
    return moved, renamed


def _compare_files(split: str, before: SplitFingerprint, now: SplitFingerprint) -> list[str]:
    changes = []
    for old, new in _successors(before, now).items():
        more, name = now.counts[new] - before.counts[old], now.class_ids[new]
        if more:
            images = "image" if abs(more) == 1 else "images"
            changes.append(f"{split}: {abs(more):,} {images} {'more' if more > 0 else 'fewer'} in {name!r}")
        elif before.digests[old] != now.digests[new]:
            changes.append(f"{split}: other files in {name!r}")
    return changes


def _successors(before: SplitFingerprint, now: SplitFingerprint) -> dict[int, int]:
    """The label that each class has now, by its label before. Classes that are gone are left out."""
    label_now = {name: label for label, name in enumerate(now.class_ids)}
    found = {label: label_now[name] for label, name in enumerate(before.class_ids) if name in label_now}
    gone = [label for label in range(len(before.class_ids)) if label not in found]
    added = sorted(set(range(len(now.class_ids))) - set(found.values()))
    same_files = {}
    for place, (labels, split) in enumerate(((gone, before), (added, now))):
        for label in labels:
            same_files.setdefault((split.counts[label], split.digests[label]), ([], []))[place].append(label)
    for old, new in same_files.values():
        if len(old) == len(new) == 1:  # Otherwise several classes have the same file names.
            found[old[0]] = new[0]
    left = set(added) - set(found.values())
    return dict(sorted((found | {label: label for label in gone if label not in found and label in left}).items()))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
