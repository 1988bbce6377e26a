"""The lock on a run folder: at most one process writes to it."""

import errno
import fcntl
import os
import socket
import time
import warnings
from pathlib import Path

from mindvit.errors import UserError
from mindvit.files import reraise_os_errors
from mindvit.printable import printable

_UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_MAX_HOLDER = 200
_held: set[int] = set()
"""File descriptors of the locks of this process."""


class RunLock:
    """A lock on the file ``run.lock`` in a run folder. The file names the process that holds it.

    The system releases the lock when the process ends for any reason, SIGKILL included. On NFS it holds between all
    nodes, unless the folder is mounted without locks; then a warning says so.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "run.lock"
        self._descriptor: int | None = None
        self._folder_stat: os.stat_result | None = None

    def acquire(self) -> None:
        """Takes the lock, and writes who holds it. Does not wait. The folder must exist.

        Raises:
            UserError: if another run holds it; the message names its process, host and start.
        """
        with reraise_os_errors("write", self.path):
            descriptor = None
            while descriptor is None:
                descriptor = self._open_locked()
            _held.add(descriptor)
            self._descriptor, self._folder_stat = descriptor, self.folder.stat()
            started = time.strftime("%Y-%m-%d %H:%M:%S %z")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()} since {started}\n".encode(), 0)

    def check(self) -> None:
        """Checks that the folder is still the one that was locked. Takes the lock again if only its file is gone.

        Raises:
            UserError: if the folder was deleted or replaced, or belongs to another run now.
        """
        with reraise_os_errors("read", self.folder):
            if self._descriptor not in _held or _is_file(self._descriptor, self.path):
                return
            if not self.folder.is_dir() or not os.path.samestat(self._folder_stat, self.folder.stat()):
                raise UserError(
                    f"{self.folder} was deleted or replaced during the run; what the run had written is lost with it"
                )
        self.release()
        self.acquire()

    def release(self) -> None:
        """Releases the lock if it is held, and removes its file."""
        if self._descriptor not in _held:
            return
        try:
            if _is_file(self._descriptor, self.path):
                self.path.unlink()
        except OSError:
            pass  # A file that remains locks nothing.
        _held.remove(self._descriptor)
        os.close(self._descriptor)

    def _open_locked(self) -> int | None:
        """A descriptor of the locked file; None if another process has removed that file in the meantime."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = printable(os.pread(descriptor, _MAX_HOLDER, 0).decode("utf-8", "replace").strip())
            if error.errno not in _UNSUPPORTED:
                os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise UserError(
                    f"{self.folder} is in use by another run ({holder or 'its process is not known'}); "
                    "wait until that run has ended, or choose another folder with --output_dir"
                ) from error
            if error.errno not in _UNSUPPORTED:
                raise
            warnings.warn(
                f"the file system of {self.folder} has no locks ({error.strerror}); make sure that no other run writes "
                f"to this folder{f', such as {holder}' if holder else ''}",
                stacklevel=4,
            )
        if _is_file(descriptor, self.path):
            return descriptor
        os.close(descriptor)
        return None


def _is_file(descriptor: int, path: Path) -> bool:
    """Whether a descriptor is of the file that is at ``path`` now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _close_in_child() -> None:
    """Closes the locks in a forked process, which could outlive the run and keep them."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_in_child)
