"""Pictures that cannot be decoded: naming the one that broke a pipeline, or skipping them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from mindvit.data.split import PADDING_LABEL, Split
from mindvit.errors import UserError


class Skipped:
    """The damaged pictures that a run has skipped.

    Args:
        path: file that each is listed in, one a line, as soon as it is found; None lists them nowhere.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.found: set[str] = set()
        self._lock = Lock()

    def note(self, where: str, why: str) -> None:
        """Takes note of a damaged picture, once, whichever thread finds it."""
        with self._lock:
            if where in self.found:
                return
            self.found.add(where)
            if self.path is not None:
                # Names of files need not be valid UTF-8.
                with open(self.path, "a", encoding="utf-8", errors="surrogateescape") as file:
                    file.write(f"{where}\t{why}\n")


class Readable:
    """The pictures and labels of a split by index, with something else in place of a damaged one.

    Args:
        split: the pictures.
        skipped: takes note of the damaged ones; None raises instead.
    """

    def __init__(self, split: Split, skipped: Skipped | None = None) -> None:
        self.split = split
        self.skipped = skipped

    def next_sound(self, index: int) -> tuple[Image.Image, np.int32]:
        """The picture and its label; in place of a damaged one the next sound one and that one's label.

        Raises:
            UserError: naming the picture if it is damaged and not to be skipped, or if all are.
        """
        for candidate in range(index, index + len(self.split)):
            picture = self._read(candidate % len(self.split))
            if picture is not None:
                return picture, self.split.labels[candidate % len(self.split)]
        raise self._ending(UserError(f"{self.split.origin} has no picture that can be decoded"))

    def or_blank(self, index: int) -> tuple[Image.Image, np.int32]:
        """The picture and its label; in place of a damaged one a blank one and ``PADDING_LABEL``.

        Raises:
            UserError: naming the picture if it is damaged and not to be skipped.
        """
        picture = self._read(index)
        if picture is None:
            return Image.new("RGB", (8, 8)), np.int32(PADDING_LABEL)
        return picture, self.split.labels[index]

    def _read(self, index: int) -> Image.Image | None:
        try:
            return self.split.read(index)
        except UserError as error:
            if self.skipped is None:
                raise self._ending(error) from error
            self.skipped.note(self.split.describe(index), str(error))
            return None

    def _ending(self, error: UserError) -> UserError:
        self.split.unread.append(error)
        return error


@contextmanager
def naming_damaged_pictures(*splits: Split) -> Iterator[None]:
    """Turns the error of a pipeline over ``splits`` into the one that ended it, which names the picture at fault.

    Raises:
        UserError: naming the picture. An error that no picture explains passes through unchanged.
    """
    for split in splits:
        split.unread.clear()
    try:
        yield
    except RuntimeError as error:
        for split in splits:
            if split.unread:
                raise split.unread.pop() from error
        raise
