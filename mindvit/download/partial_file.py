"""A file that is received in several attempts."""

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path


class PartialFile:
    """The bytes of a download so far, beside its destination, and what is needed to resume it.

    One process at a time writes to the file ``NAME.part.EXTENSION``. Another one that downloads the same file meanwhile
    writes to a file of its own, which is not kept.

    Args:
        path: destination of the download.
        url: address of the published file.

    Raises:
        OSError: as every method, if the file cannot be written.
    """

    def __init__(self, path: Path, url: str) -> None:
        self.path = path.with_name(f"{path.stem}.part{path.suffix}")
        self._about = self.path.with_name(self.path.name + ".json")
        self._url = url
        self._file = open(self.path, "ab")  # noqa: SIM115 (close() closes it)
        self._is_moved = False
        self._is_shared = self._lock()
        if not self._is_shared:
            self._file.close()
            self.path = path.with_name(f"{path.stem}.part-{os.getpid()}{path.suffix}")
            self._file = open(self.path, "wb")  # noqa: SIM115
        self.validator = self._read_validator()
        """What identifies the published file that the bytes are of; None if they cannot be resumed."""
        self.size = self._file.tell() if self.validator else 0
        """Number of bytes."""

    @property
    def is_resumable(self) -> bool:
        """Whether the bytes are kept for a later attempt."""
        return self._is_shared and self.validator is not None and self.size > 0

    def start(self, size: int, validator: str | None) -> None:
        """Keeps the first ``size`` bytes; those that follow are of the published file that ``validator`` identifies."""
        self._forget_validator()
        self._file.truncate(size)
        self.size, self.validator = size, validator
        if self._is_shared and validator is not None:
            self._about.write_text(json.dumps({"url": self._url, "validator": validator}), encoding="utf-8")

    def write(self, chunk: bytes) -> None:
        """Appends bytes."""
        self._file.write(chunk)
        self.size += len(chunk)

    def sync(self) -> None:
        """Writes all bytes to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def move_to(self, path: Path) -> None:
        """Makes the file the one at ``path``."""
        self.discard()
        self._forget_validator()
        self.path.replace(path)
        self._is_moved = True

    def discard(self) -> None:
        """Keeps nothing for a later attempt."""
        self.validator = None

    def close(self) -> None:
        """Closes the file, and removes it unless a later attempt can resume it."""
        if not self.is_resumable and not self._is_moved:  # Before it is closed, which unlocks it.
            self._forget_validator()
            self.path.unlink(missing_ok=True)
        with suppress(OSError):  # If the disk is full, the bytes on the disk are resumed.
            self._file.close()

    def _forget_validator(self) -> None:
        if self._is_shared:
            self._about.unlink(missing_ok=True)

    def _lock(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Before this process had the lock, another one may have moved the file to its destination.
            return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except OSError:  # Another process has the lock, or the file system has no locks.
            return False

    def _read_validator(self) -> str | None:
        if not self._is_shared:
            return None
        with suppress(OSError, ValueError, AttributeError):
            about = json.loads(self._about.read_text(encoding="utf-8"))
            validator = about.get("validator")
            return validator if about.get("url") == self._url and isinstance(validator, str) else None
        return None
