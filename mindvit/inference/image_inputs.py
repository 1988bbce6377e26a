"""Finds the images and videos that the setting image names: files, folders, and glob patterns."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from mindvit.data.images import EXTENSIONS
from mindvit.errors import UserError
from mindvit.printable import printable

VIDEO_EXTENSIONS = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"})


@dataclass(frozen=True)
class InputFile:
    """An image file or a video."""

    path: str
    """The path, beginning with what the user wrote."""
    relative: str
    """The path below the folder that the user named, or that the pattern begins with; or the name of the file."""

    @property
    def is_video(self) -> bool:
        """Whether the extension is that of a video."""
        return _extension(self.path) in VIDEO_EXTENSIONS


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What could not be classified."""

    file: str
    """The file, the folder or the pattern."""
    reason: str
    """A sentence, which names it too."""


def find_inputs(given: Sequence[str], omit: Path | None = None) -> tuple[list[InputFile], list[Unreadable]]:
    """The images and videos that paths name.

    A file is taken whatever its extension is, so that a missing or a wrong one is reported and not passed over. Of a
    folder, its sub-folders included, and of a glob pattern the files with the extension of an image or a video are
    taken, sorted by path. Hidden files and folders are ignored, and links to folders are not followed. A file that is
    found twice is taken once.

    Args:
        given: paths of files and folders, and patterns such as ``"photos/**/*.jpg"``.
        omit: a folder that is not searched, such as that of the results.

    Returns:
        The files, and the folders and patterns in which there is nothing.
    """
    found: dict[str, InputFile] = {}
    empty: list[Unreadable] = []
    for path in given:
        if not path or "\0" in path:
            raise UserError("image needs the paths of images, folders or videos, not an empty text or a NUL character")
        if os.path.isdir(path):  # noqa: PTH112 (Path would remove "./", and with it what the user wrote)
            files = _in_folder(path, omit, empty)
        elif glob.has_magic(path) and not os.path.lexists(path):
            files = _matching(path, omit, empty)
        else:
            files = [InputFile(path, os.path.basename(path))]  # noqa: PTH119
        for file in files:
            found.setdefault(os.path.normpath(file.path), file)
        if not files and not (empty and empty[-1].file == path):
            known = ", ".join(sorted(EXTENSIONS))
            empty.append(Unreadable(path, f"{printable(path)} has no images or videos; images have {known}"))
    return list(found.values()), empty


def _in_folder(folder: str, omit: Path | None, empty: list[Unreadable]) -> list[InputFile]:
    def note(error: OSError) -> None:
        name = os.fsdecode(error.filename)
        empty.append(Unreadable(name, f"cannot read the folder {printable(name)}: {error.strerror}"))

    files = []
    for place, folders, names in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _is(omit, place, name))
        files += [os.path.join(place, name) for name in sorted(names) if _is_known(name)]  # noqa: PTH118
    return [InputFile(path, os.path.relpath(path, folder)) for path in files]


def _matching(pattern: str, omit: Path | None, empty: list[Unreadable]) -> list[InputFile]:
    paths = []
    for path in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 (Path.glob takes no absolute pattern)
        if os.path.isdir(path):  # noqa: PTH112
            paths += [] if _is(omit, path, "") else [file.path for file in _in_folder(path, omit, empty)]
        elif _is_known(path):
            paths.append(path)
    root = Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))
    return [InputFile(path, os.path.relpath(path, root)) for path in paths]


def _is(omit: Path | None, place: str, name: str) -> bool:
    try:
        return omit is not None and omit.samefile(Path(place, name))
    except OSError:
        return False


def _is_known(path: str) -> bool:
    name = os.path.basename(path)  # noqa: PTH119
    return not name.startswith(".") and _extension(name) in EXTENSIONS | VIDEO_EXTENSIONS


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lower()  # noqa: PTH122
