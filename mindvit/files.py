"""Atomic file writing: a reader sees either the old content or the complete new content."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mindvit.errors import UserError

_TEMPORARY = ".being-written-"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path; on success the temporary file is synced to disk and replaces ``path``.

    The temporary path is in a temporary folder next to ``path``. On an error that folder is removed with its content,
    and ``path`` remains unchanged.

    Raises:
        UserError: if the folder cannot be written or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=_TEMPORARY) as folder:
            temporary = Path(folder) / path.name
            yield temporary
            temporary.chmod(0o666 & ~_umask())  # MindSpore writes checkpoints that only their owner can read.
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def link(path: Path, target: Path) -> None:
    """Makes ``path`` a hard link to the file ``target``, atomically; a copy if the file system has no hard links.

    Raises:
        UserError: if the link cannot be written.
    """
    with replacing(path) as temporary:
        try:
            os.link(target, temporary)
        except OSError:
            shutil.copyfile(target, temporary)


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files that ``replacing`` left in a folder when the process was killed."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8, atomically.

    Raises:
        UserError: if the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_folder(path: Path) -> Path:
    """Creates a folder and its parents, and checks that files can be written to it.

    Raises:
        UserError: if it cannot be created or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(f"cannot write into the folder {path}: {error.strerror}") from error
    return path


def _sync_folder(folder: Path) -> None:
    """Syncs a folder, so that a rename in it survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
