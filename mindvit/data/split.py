"""A split of a data source: images, labels and classes."""

import difflib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from PIL import Image

from mindvit.classes import Classes
from mindvit.data.fingerprint import DataFingerprint, SplitFingerprint, fingerprint_of
from mindvit.data.images import ScaleChoice
from mindvit.errors import UserError
from mindvit.printable import first_names

PADDING_LABEL = -1
"""Label of rows that pad a batch. Metrics ignore them."""


@dataclass(frozen=True)
class Split:
    """Labeled images, read by index."""

    origin: str
    """Location of the images, for messages."""
    classes: Classes
    labels: np.ndarray
    """int32, (num_images,)."""
    read: Callable[[int], Image.Image]
    """Reads the image at an index, in RGB. Raises a ``UserError`` that names the image if this fails."""
    describe: Callable[[int], str]
    """Returns the location of the image at an index, for messages."""
    flip: bool = True
    """Whether a horizontal flip keeps the class of an image."""
    name: Callable[[int], str] = str
    """Returns a name of the image at an index that is the same in every copy of the data; by default its index."""
    read_scaled: Callable[[int, ScaleChoice], Image.Image] | None = None
    """Reads the image at an index at the scale that a function chooses. None if all images are read as a whole."""
    read_errors: deque = field(default_factory=lambda: deque(maxlen=1), compare=False)
    """The last decode error that stopped a pipeline. The pipeline raises only a ``RuntimeError`` without this cause."""

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self) -> SplitFingerprint:
        """What tells the split from one with other classes, files or labels."""
        return fingerprint_of(self.classes.ids, self.labels, self.name)

    @property
    def ids_with_images(self) -> set[str]:
        """The ids of the classes that have images in this split."""
        return {self.classes.ids[label] for label in np.unique(self.labels)}

    def select_classes(self, ids: tuple[str, ...]) -> "Split":
        """The images of some classes only. Labels are renumbered from 0 and keep the order of this split.

        Args:
            ids: ids of the classes, in any order.

        Raises:
            UserError: for an unknown class, with the closest known name, or for a class without images.
        """
        for name in ids:
            if name not in self.classes.ids:
                nearest = difflib.get_close_matches(name, self.classes.ids, n=1, cutoff=0.0)
                raise UserError(f"{self.origin} has no class {name!r} (data.classes); the nearest is {nearest[0]!r}")
        kept = [label for label, name in enumerate(self.classes.ids) if name in ids]
        empty = [self.classes.ids[label] for label in kept if label not in self.labels]
        if empty:
            raise UserError(f"{self.origin} has no images of {', '.join(empty[:5])} (data.classes)")
        classes = Classes(*(tuple(names[label] for label in kept) for names in (self.classes.ids, self.classes.names)))
        subset = self.take(np.flatnonzero(np.isin(self.labels, kept)))
        return replace(subset, classes=classes, labels=np.searchsorted(kept, subset.labels).astype(np.int32))

    def limit_per_class(self, samples_per_class: int) -> "Split":
        """At most ``samples_per_class`` images of each class, evenly spaced over the images of the class."""
        chosen = []
        for label in np.unique(self.labels):
            indices = np.flatnonzero(self.labels == label)
            if len(indices) > samples_per_class:
                indices = indices[np.arange(samples_per_class) * len(indices) // samples_per_class]
            chosen.append(indices)
        return self.take(np.sort(np.concatenate(chosen)))

    def take(self, indices: np.ndarray) -> "Split":
        """The images at some indices, in their order, with the classes of this split."""
        return replace(
            self,
            labels=self.labels[indices],
            read=lambda index: self.read(int(indices[index])),
            read_scaled=self.read_scaled and (lambda index, choose: self.read_scaled(int(indices[index]), choose)),
            describe=lambda index: self.describe(int(indices[index])),
            name=lambda index: self.name(int(indices[index])),
        )

    def relabel(self, classes: Classes) -> "Split":
        """The same images with the labels of ``classes``, which must include every class of this split.

        Raises:
            UserError: if classes are missing; the message names them.
        """
        if classes.ids == self.classes.ids:
            return replace(self, classes=classes)
        label_of = {name: label for label, name in enumerate(classes.ids)}
        unknown = [name for name in self.classes.ids if name not in label_of]
        if unknown:
            raise UserError(
                f"{self.origin} has {len(unknown)} classes that the model was not trained on: {first_names(unknown)}. "
                f"The first of the model's {len(classes)} classes are {', '.join(classes.ids[:5])}"
            )
        new_label = np.array([label_of[name] for name in self.classes.ids], np.int32)
        return replace(self, classes=classes, labels=new_label[self.labels])


@dataclass(frozen=True)
class Source:
    """The splits of a data source. Each of them may be missing."""

    train: Split | None
    val: Split | None
    test: Split | None = None
    """Images for a final evaluation only; no run reads them."""
    divided: str | None = None
    """The fingerprint of the images that ``hold_out`` divided into train and val; None if it did not."""

    @property
    def is_unsplit(self) -> bool:
        """Whether train and val are the same images, because the source has no splits."""
        return self.train is not None and self.train is self.val

    @cached_property
    def fingerprint(self) -> DataFingerprint:
        """What tells the data of a run from other data."""
        return DataFingerprint(self.train.fingerprint(), self.val and self.val.fingerprint())

    def subset(self, classes: tuple[str, ...] | None, samples_per_class: int | None) -> "Source":
        """A subset of the source: some classes of all splits, and a limited number of training images per class.

        Args:
            classes: ids of the classes; None keeps all.
            samples_per_class: maximum number of training images per class; None keeps all.

        Raises:
            UserError: as ``Split.select_classes``.
        """
        train, val, test = self.train, self.val, self.test
        if classes is not None:
            train, val, test = (split and split.select_classes(classes) for split in (train, val, test))
        if samples_per_class is not None:
            train = train and train.limit_per_class(samples_per_class)
        return replace(self, train=train, val=val, test=test)
