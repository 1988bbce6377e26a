"""Where the annotated images of many images are written."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePath

from mindvit.data.images import FORMATS
from mindvit.errors import UserError
from mindvit.inference.image_inputs import InputFile
from mindvit.printable import printable

_MAX_STEM = 200
"""Bytes of a file name without its extension; file systems allow 255."""


class AnnotatedFiles:
    """Names the annotated images in a folder: the paths below the folder that was classified, no name twice.

    A JPEG remains one; of other formats a PNG is written. A second ``a.png`` becomes ``a_2.png``, and a frame of a
    video ``a_frame000120.jpg``.

    Args:
        folder: the folder to write to.
        inputs: the images that are classified, none of which may be overwritten.
    """

    def __init__(self, folder: Path, inputs: Iterable[InputFile]) -> None:
        self.folder = folder
        self._inputs = {os.path.realpath(file.path) for file in inputs}
        self._taken: set[str] = set()

    def name(self, file: InputFile, frame: int | None = None) -> Path:
        """The path of the annotated image of a file, or of a frame.

        Raises:
            UserError: if it is the path of an image that is classified.
        """
        relative = PurePath(file.relative)
        parent = PurePath(*(part for part in relative.parent.parts if part not in ("..", "/")))
        stem = os.fsdecode(os.fsencode(relative.stem)[:_MAX_STEM])
        is_jpeg = frame is not None or relative.suffix.lower() in FORMATS["JPEG"]
        stem += "" if frame is None else f"_frame{frame:06d}"
        suffix, number = ".jpg" if is_jpeg else ".png", 1
        while True:
            path = self.folder / parent / (f"{stem}{suffix}" if number == 1 else f"{stem}_{number}{suffix}")
            if str(path).casefold() not in self._taken:  # Some file systems do not distinguish case.
                break
            number += 1
        self._taken.add(str(path).casefold())
        refuse_overwriting(path, self._inputs)
        return path


def refuse_overwriting(path: Path, inputs: Iterable[str]) -> None:
    """Refuses to write to an image that is classified.

    Args:
        path: the file to be written.
        inputs: real paths of the images.

    Raises:
        UserError: if it is one of them.
    """
    if os.path.realpath(path) in inputs:
        raise UserError(f"the annotated image would overwrite {printable(str(path))}; set output to another place")
