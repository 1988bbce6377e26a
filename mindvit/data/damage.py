"""Pictures that cannot be decoded: naming the one that broke a pipeline, or skipping them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
from mindspore.dataset import vision
from PIL import Image

from mindvit.data.pictures import decoded
from mindvit.data.split import Split
from mindvit.errors import UserError

# MindSpore leaves a copy of a picture that it could not decode in the working folder, under this name.
_LEFT_BEHIND = Path("abnormal_image.jpg")


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
    """The decoded pictures of a split by index, with the next sound one in place of a damaged one.

    Args:
        split: the pictures.
        skipped: takes note of the damaged ones; None raises instead.
    """

    def __init__(self, split: Split, skipped: Skipped | None = None) -> None:
        self.split = split
        self.skipped = skipped

    def __getitem__(self, index: int) -> tuple[Image.Image, np.int32]:
        """The picture and the label.

        Raises:
            UserError: naming the picture if it is damaged and not to be skipped, or if all are.
        """
        for candidate in range(index, index + len(self.split)):
            where = self.split.describe(candidate % len(self.split))
            try:
                picture, label = self.split[candidate % len(self.split)]
                return decoded(picture, where), label
            except UserError as error:
                if self.skipped is None:
                    raise
                self.skipped.note(where, str(error))
        raise UserError(f"{self.split.origin} has no picture that can be decoded")


@contextmanager
def naming_damaged_pictures(*splits: Split) -> Iterator[None]:
    """Turns the error of a pipeline over ``splits`` into one that names the picture at fault.

    A pipeline's own error does not say which picture it was at. The splits remember which were read last, and those
    are tried one by one. An error that no picture explains passes through unchanged.

    Raises:
        UserError: naming the picture.
    """
    was_there = _LEFT_BEHIND.exists()
    try:
        yield
    except RuntimeError as error:
        damaged = next((found for split in splits if (found := _find_damaged(split))), None)
        if not was_there:
            _LEFT_BEHIND.unlink(missing_ok=True)
        if damaged is None:
            raise
        raise UserError(damaged) from error


def _find_damaged(split: Split) -> str | None:
    for index in dict.fromkeys(reversed(split.recent)):
        try:
            picture = split.read(index)
            if split.encoded:
                decoded(picture, split.describe(index))
                vision.Decode()(picture)
        except UserError as error:
            return str(error)
        except (RuntimeError, ValueError):
            return f"{split.describe(index)} is damaged: it cannot be decoded; repair or remove it"
    return None
