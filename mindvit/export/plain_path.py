"""Paths that MindSpore's exporters and loader accept: only some characters of ASCII."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mindvit.errors import UserError
from mindvit.printable import printable

_PLAIN = re.compile(r"[0-9a-zA-Z@_.:/-]+")


def check_plain_name(path: Path, kind: str) -> None:
    """Checks that MindSpore can load a file of this name.

    Raises:
        UserError: if it has other characters than MindSpore accepts.
    """
    if not _PLAIN.fullmatch(path.name):
        raise UserError(
            f"--output {printable(str(path))}: MindSpore loads {kind} files only under a name of the characters "
            "a-z, A-Z, 0-9, @, _, -, . and :; choose another file name"
        )


@contextmanager
def plain_folder(folder: Path) -> Iterator[Path]:
    """Another path to a folder, of characters that MindSpore accepts: a temporary link if its own path has others."""
    folder = folder.resolve()
    if _PLAIN.fullmatch(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="mindvit-") as place:
        link = Path(place) / "folder"
        link.symlink_to(folder, target_is_directory=True)
        yield link
