"""Ends a process with its parent, whatever ends the parent. Linux only; elsewhere nothing happens.

A job is a chain: the launcher starts ``msrun``, which starts the ranks. Each link asks the system for a signal when its
parent ends, and then checks that the parent has not ended before. So no process is left, whenever one is killed.

This module imports nothing heavy, because a rank calls it before anything else.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_LAUNCHER_PID = "MINDVIT_LAUNCHER_PID"
"""Environment variable of the ranks: the process id of their launcher."""


def end_with_parent(number: signal.Signals, parent: int | None = None) -> None:
    """Asks the system to send this process a signal when its parent process ends, for any reason.

    Args:
        number: the signal.
        parent: process id of the parent. If this process has another one, the parent has ended already, and this
            process ends at once. None does not check it.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def name_launcher() -> dict[str, str]:
    """The environment of this process, with its own id as that of the launcher, for ``msrun`` and the ranks."""
    return {**os.environ, _LAUNCHER_PID: str(os.getpid())}


def end_with_launcher() -> None:
    """In a rank that the launcher started: as ``end_with_parent`` with SIGTERM. It ends at once if it is too late.

    The parent of a rank is ``msrun``, whose process id the launcher cannot know in advance. So the check is that the
    parent of the parent is the launcher: a process that has lost its parent gets another one, which has another parent.
    """
    launcher = os.environ.get(_LAUNCHER_PID)
    if sys.platform != "linux" or launcher is None or "MS_ROLE" not in os.environ:
        return
    end_with_parent(signal.SIGTERM)
    import psutil  # Only ranks need it, and it takes time to import.

    found = None
    with suppress(psutil.NoSuchProcess):
        found = psutil.Process(os.getppid()).ppid()
    if str(found) != launcher:
        os._exit(1)
