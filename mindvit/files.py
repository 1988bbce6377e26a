"""Atomic file writing: a reader sees either the old content or the complete new content."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mindvit.errors import UserError
from mindvit.printable import printable

_TEMPORARY = ".being-written-"
_PATH_SHOWN = 200


class FileError(UserError):
    """A file or folder cannot be read, written or deleted. The cause is an ``OSError``."""


def os_error_message(error: OSError, action: str, path: Path | str | None = None) -> str:
    """A sentence on a failed operation on a file, such as "cannot write a.txt: Read-only file system".

    Args:
        error: what the operating system reported.
        action: what failed, such as ``"write"``.
        path: the file or folder; None takes the one that the error names.
    """
    path = path or error.filename or "a file"
    reason = error.strerror or str(error)
    if error.errno == errno.ENOENT and path != error.filename and not Path(path).parent.is_dir():
        reason = "its folder does not exist"
    elif error.errno == errno.EEXIST:
        reason = "a file or a broken link has this name"
    return f"cannot {action} {_shown(path)}: {reason}"


@contextmanager
def reraise_os_errors(action: str, path: Path) -> Iterator[None]:
    """Replaces an ``OSError`` by a ``FileError`` with a sentence that names the action and the path.

    Args:
        action: such as ``"write"``.
        path: the file or folder.

    Raises:
        FileError: in place of the ``OSError``, and of the ``ValueError`` of a path with a NUL character.
    """
    try:
        yield
    except OSError as error:
        raise FileError(os_error_message(error, action, path)) from error
    except ValueError as error:
        if "\0" not in str(path):
            raise
        raise FileError(f"cannot {action} {_shown(path)}: a path cannot contain a NUL character") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path; on success the temporary file is synced to disk and replaces ``path``.

    The temporary path is in a temporary folder next to ``path``. On an error that folder is removed with its content,
    and ``path`` remains unchanged. The folder of ``path`` must exist: a folder that was deleted during a run must not
    come back with a part of its files.

    Raises:
        FileError: if the folder does not exist or cannot be written, or the disk is full.
    """
    path = Path(path)
    with reraise_os_errors("write", path):
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=_TEMPORARY) as folder:
            temporary = Path(folder) / path.name
            yield temporary
            temporary.chmod(0o666 & ~_umask())  # MindSpore writes checkpoints that only their owner can read.
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        _sync_folder(path.parent)


def link(path: Path, target: Path) -> None:
    """Makes ``path`` a hard link to the file ``target``, atomically; a copy if the file system has no hard links.

    Raises:
        FileError: if the link cannot be written.
    """
    with replacing(path) as temporary:
        try:
            os.link(target, temporary)
        except OSError:
            shutil.copyfile(target, temporary)


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files that ``replacing`` left in a folder when the process was killed.

    Raises:
        FileError: if the folder cannot be read. Files that cannot be removed do no harm, and remain.
    """
    with reraise_os_errors("read", folder):
        for path in folder.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(path, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8, atomically.

    Raises:
        FileError: if the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_folder(path: Path, parents: bool = True) -> Path:
    """Creates a folder unless it exists, and checks that files can be written to it.

    Args:
        path: the folder.
        parents: whether to create the folders above it too.

    Raises:
        FileError: if it cannot be created or written.
    """
    path = Path(path)
    with reraise_os_errors("write into the folder", path):
        path.mkdir(parents=parents, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    return path


def delete(path: Path) -> None:
    """Deletes a file, or the content of a folder and the folder. A missing one is no error.

    Of a symbolic link to a folder, which may lead to a larger disk, the content is deleted and the link remains.

    Raises:
        FileError: if it cannot be deleted.
    """
    with reraise_os_errors("delete", path):
        if not path.is_dir():
            path.unlink(missing_ok=True)
        elif not path.is_symlink():
            shutil.rmtree(path)
        else:
            for entry in list(os.scandir(path)):
                delete(Path(entry.path))


def _shown(path: Path | str | bytes) -> str:
    text = printable(os.fsdecode(path) if isinstance(path, bytes) else str(path))
    if len(text) <= _PATH_SHOWN:
        return text
    return f"{text[: _PATH_SHOWN // 2]}…{text[-_PATH_SHOWN // 4 :]}"


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
