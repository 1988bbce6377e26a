"""Images that cannot be decoded: report the file that stopped a pipeline, or skip and log such files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from mindvit.data.images import ScaleChoice
from mindvit.data.split import PADDING_LABEL, Split
from mindvit.errors import UserError
from mindvit.files import reraise_os_errors


class CorruptImageLog:
    """The corrupt images that a run skipped.

    Args:
        path: text file with one line for each skipped image, written as soon as the image is found. None writes no
            file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.found: set[str] = set()
        self._lock = Lock()

    def add(self, where: str, why: str) -> None:
        """Records a corrupt image once, whichever thread finds it.

        Raises:
            UserError: if the file cannot be written.
        """
        with self._lock:
            if where in self.found:
                return
            self.found.add(where)
            if self.path is not None:
                # File names need not be valid UTF-8.
                with (
                    reraise_os_errors("write", self.path),
                    open(self.path, "a", encoding="utf-8", errors="surrogateescape") as file,
                ):
                    file.write(f"{where}\t{why}\n")


class CorruptImageError(UserError):
    """An image that cannot be decoded, in a run that must not skip it."""


class ImageReader:
    """Reads images and labels of a split by index, and replaces corrupt images if it may skip them.

    Args:
        split: the images.
        corrupt: log of skipped images; None raises an error at a corrupt image.
    """

    def __init__(self, split: Split, corrupt: CorruptImageLog | None = None) -> None:
        self.split = split
        self.corrupt = corrupt

    def next_readable(self, index: int, choose_scale: ScaleChoice | None = None) -> tuple[Image.Image, np.int32]:
        """The image at ``index`` and its label; if it is corrupt, the next readable image and the label of that one.

        Args:
            index: index of the image.
            choose_scale: chooses the scale; called for each image that is tried. None reads whole images.

        Raises:
            UserError: if the image is corrupt and must not be skipped, or if no image of the split is readable.
        """
        for candidate in range(index, index + len(self.split)):
            image = self._read(candidate % len(self.split), choose_scale)
            if image is not None:
                return image, self.split.labels[candidate % len(self.split)]
        raise UserError(f"{self.split.origin} has no image that can be decoded")

    def or_blank(self, index: int) -> tuple[Image.Image, np.int32]:
        """The image at ``index`` and its label; if it is corrupt, a blank image and ``PADDING_LABEL``.

        Raises:
            UserError: if the image is corrupt and must not be skipped.
        """
        image = self._read(index)
        if image is None:
            return Image.new("RGB", (8, 8)), np.int32(PADDING_LABEL)
        return image, self.split.labels[index]

    def _read(self, index: int, choose_scale: ScaleChoice | None = None) -> Image.Image | None:
        try:
            if choose_scale is None:
                return self.split.read(index)
            if self.split.read_scaled is not None:
                return self.split.read_scaled(index, choose_scale)
            image = self.split.read(index)
            choose_scale(image.size, False)
            return image
        except UserError as error:
            if self.corrupt is None:
                raise CorruptImageError(str(error)) from error
            self.corrupt.add(self.split.describe(index), str(error))
            return None

    def record(self, error: BaseException) -> None:
        """Keeps an error that stops a pipeline, for ``reraise_decode_errors``."""
        if isinstance(error, UserError):
            self.split.read_errors.append(error)


@contextmanager
def reraise_decode_errors(*splits: Split, option: str = "--data.on_corrupt") -> Iterator[None]:
    """Replaces the ``RuntimeError`` of a dataset pipeline by the ``UserError`` that caused it, which names the file.

    Args:
        splits: the splits that the pipelines read.
        option: the option of the command that sets what a corrupt image does, for the message.

    Raises:
        UserError: naming the image, and the option that skips it. A ``RuntimeError`` that no image caused passes
            through unchanged.
    """
    for split in splits:
        split.read_errors.clear()
    try:
        yield
    except RuntimeError as error:
        for split in splits:
            if split.read_errors:
                cause = split.read_errors.pop()
                hint = f". {option} skip skips such images" if isinstance(cause, CorruptImageError) else ""
                raise UserError(f"{cause}{hint}") from error
        raise
