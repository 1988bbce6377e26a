"""Bounds for code that reads untrusted files: what it may write, start and allocate."""

import os
import resource
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

MEMORY = 4 * 2**30
"""Address space that a case may use beyond what the process has, in bytes."""
_FORBIDDEN = (
    *("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "pty."),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.", "ctypes.dlopen", "pickle.find_class"),
    *("webbrowser.", "os.kill", "shutil.make_archive", "code.__new__"),
)
_CHANGES = {
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.chown"),
    *("os.truncate", "os.utime", "shutil.rmtree", "shutil.copyfile", "shutil.move"),
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_state = {"folder": None, "violations": []}


class ForbiddenActionError(BaseException):
    """Code under test starts a program, connects, or writes outside its folder. No ``except Exception`` hides it."""


def _audit(event, arguments):
    folder = _state["folder"]
    if folder is None:
        return
    if event.startswith(_FORBIDDEN):
        _refuse(f"{event} {arguments!r}")
    elif event == "open":
        path, mode, flags = arguments
        # Threads of MindSpore open pipes and devices by descriptor.
        if isinstance(path, str | bytes) and (flags & _WRITING or set(mode or "") & set("wax+")):
            _check_inside(event, path, folder)
    elif event in _CHANGES:
        for path in arguments[: 2 if event in ("os.rename", "os.symlink", "os.link") else 1]:
            if isinstance(path, str | bytes | os.PathLike):
                _check_inside(event, path, folder)


def _check_inside(event, path, folder):
    absolute = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 (the path of a link, not of its target)
    real = os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))  # noqa: PTH118, PTH119, PTH120
    if real != "/dev/null" and not f"{real}/".startswith(f"{folder}/"):
        _refuse(f"{event} {real!r}")


def _refuse(action):
    _state["violations"].append(action)
    raise ForbiddenActionError(action)


@contextmanager
def confined_to(folder):
    """Refuses to start programs, to connect, and to write outside a folder, in all threads of this process.

    Python's audit events are what is seen, so a library in C could write without notice.

    Raises:
        ForbiddenActionError: if there was such an attempt, even if the code under test handled the exception.
    """
    if not _state.get("is_hooked"):
        sys.addaudithook(_audit)  # It stays until the process ends.
        _state["is_hooked"] = True
    before = tempfile.tempdir
    temporary = Path(folder) / "tmp"
    temporary.mkdir(exist_ok=True)
    tempfile.tempdir = str(temporary)
    _state["violations"] = []
    _state["folder"] = os.path.realpath(folder)
    try:
        yield
    finally:
        _state["folder"], tempfile.tempdir = None, before
    if _state["violations"]:
        raise ForbiddenActionError(_state["violations"][0])


@contextmanager
def limited_memory(num_bytes=MEMORY):
    """Makes every allocation fail that exceeds the used address space by more than this, written to or not."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
