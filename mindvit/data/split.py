"""One split of a data source: images, their labels, and what the classes are called."""

import difflib
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from mindvit.classes import Classes
from mindvit.errors import UserError

PADDING_LABEL = -1
"""Label of rows that fill up a batch and do not count."""


@dataclass(frozen=True)
class Split:
    """Images that can be read by index, and their labels."""

    origin: str
    """Where the images lie, for messages."""
    classes: Classes
    labels: np.ndarray
    """int32, (num_images,)."""
    read: Callable[[int], Image.Image]
    """Reads the image of an index, in RGB; raises a UserError that names it where it cannot."""
    describe: Callable[[int], str]
    """Says where the image of an index lies."""
    flip: bool = True
    """Whether a mirrored image still shows its class."""
    read_errors: deque = field(default_factory=lambda: deque(maxlen=1), compare=False)
    """The last error of an image that ended a pipeline, which does not hand it on whole."""

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self) -> str:
        """A short text in which splits differ that have other classes, or other numbers of images in them."""
        checksum = zlib.crc32(self.labels.tobytes(), zlib.crc32("\n".join(self.classes.ids).encode()))
        return f"{len(self)} images of {len(self.classes)} classes ({checksum:08x})"

    def select_classes(self, ids: tuple[str, ...]) -> "Split":
        """The images of some classes alone, which are labelled from 0 in the order that they have here.

        Raises:
            UserError: for a class that is not there, naming the nearest, or that has no image.
        """
        for name in ids:
            if name not in self.classes.ids:
                nearest = difflib.get_close_matches(name, self.classes.ids, n=1, cutoff=0.0)
                raise UserError(f"{self.origin} has no class {name!r} (data.classes); the nearest is {nearest[0]!r}")
        kept = [label for label, name in enumerate(self.classes.ids) if name in ids]
        empty = [self.classes.ids[label] for label in kept if label not in self.labels]
        if empty:
            raise UserError(f"{self.origin} has no image of {', '.join(empty[:5])}, which data.classes asks for")
        classes = Classes(*(tuple(names[label] for label in kept) for names in (self.classes.ids, self.classes.names)))
        part = self._part(np.flatnonzero(np.isin(self.labels, kept)))
        return replace(part, classes=classes, labels=np.searchsorted(kept, part.labels).astype(np.int32))

    def limit_per_class(self, samples_per_class: int) -> "Split":
        """So many images of each class, evenly spread over its images; all of a class that has no more."""
        chosen = []
        for label in np.unique(self.labels):
            own = np.flatnonzero(self.labels == label)
            chosen.append(
                own[np.arange(samples_per_class) * len(own) // samples_per_class]
                if len(own) > samples_per_class
                else own
            )
        return self._part(np.sort(np.concatenate(chosen)))

    def _part(self, indices: np.ndarray) -> "Split":
        return replace(
            self,
            labels=self.labels[indices],
            read=lambda index: self.read(int(indices[index])),
            describe=lambda index: self.describe(int(indices[index])),
        )

    def relabel(self, classes: Classes) -> "Split":
        """The same images with the labels of ``classes``, which must hold every class of this split.

        Raises:
            UserError: naming the classes that it does not hold.
        """
        if classes.ids == self.classes.ids:
            return replace(self, classes=classes)
        label_of = {name: label for label, name in enumerate(classes.ids)}
        unknown = [name for name in self.classes.ids if name not in label_of]
        if unknown:
            shown = ", ".join(unknown[:5]) + (", …" if len(unknown) > 5 else "")
            raise UserError(
                f"{self.origin} has {len(unknown)} classes that the model was not trained on: {shown}. "
                f"The model's {len(classes)} classes begin with {', '.join(classes.ids[:5])}"
            )
        new_label = np.array([label_of[name] for name in self.classes.ids], np.int32)
        return replace(self, classes=classes, labels=new_label[self.labels])


@dataclass(frozen=True)
class Source:
    """The splits that a data source offers; one may be missing."""

    train: Split | None
    val: Split | None

    def subset(self, classes: tuple[str, ...] | None, samples_per_class: int | None) -> "Source":
        """Of both splits only some classes, and of the training split only so many images of each; None takes all.

        Raises:
            UserError: as ``Split.select_classes``.
        """
        train, val = self.train, self.val
        if classes is not None:
            train, val = (split and split.select_classes(classes) for split in (train, val))
        return Source(
            train and train.limit_per_class(samples_per_class) if samples_per_class is not None else train, val
        )
