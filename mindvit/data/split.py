"""One split of a data source: pictures, their labels, and what the classes are called."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from mindvit.errors import UserError

PADDING_LABEL = -1
"""Label of rows that fill up a batch and do not count."""


@dataclass(frozen=True)
class Classes:
    """The classes of a source, in the order of their labels."""

    ids: tuple[str, ...]
    """What tells them apart in the data: folder names, or WordNet ids for ImageNet."""
    names: tuple[str, ...]
    """What a person calls them."""

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def named(cls, names: tuple[str, ...]) -> "Classes":
        """Classes whose names are their ids."""
        return cls(tuple(names), tuple(names))


@dataclass(frozen=True)
class Split:
    """Pictures that can be read by index, and their labels."""

    origin: str
    """Where the pictures lie, for messages."""
    classes: Classes
    labels: np.ndarray
    """int32, (num_images,)."""
    read: Callable[[int], Image.Image]
    """Reads the picture of an index, in RGB; raises a UserError that names it where it cannot."""
    describe: Callable[[int], str]
    """Says where the picture of an index lies."""
    flip: bool = True
    """Whether a mirrored picture still shows its class."""
    unread: deque = field(default_factory=lambda: deque(maxlen=1), compare=False)
    """The last error of a picture that ended a pipeline, which does not hand it on whole."""

    def __len__(self) -> int:
        return len(self.labels)

    def relabel(self, classes: Classes) -> "Split":
        """The same pictures with the labels of ``classes``, which must hold every class of this split.

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
