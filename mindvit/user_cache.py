"""The folder for files that this project makes for a user, and can make again."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from mindvit.files import FileError, make_folder, reraise_os_errors


def user_cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """``$XDG_CACHE_HOME/mindvit``, by default ``~/.cache/mindvit``. It need not exist.

    Raises:
        FileError: if the user has no home folder.
    """
    try:
        base = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise FileError("there is no folder for cached files: set HOME or XDG_CACHE_HOME") from error
    return base / "mindvit"


def private_folder(path: Path) -> Path:
    """Creates a folder that only its owner can read and write, unless it exists.

    What lies in such a folder is trusted: it may be loaded without a check of what it does.

    Raises:
        FileError: if it cannot be created or written, if it belongs to another user, or if other users can write to it
            or to the folder that holds it.
    """
    with reraise_os_errors("create the folder", path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        for folder in (path, path.parent):
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode):
                raise FileError(f"{folder} is not a folder; delete it")
            if found.st_uid != os.geteuid():
                raise FileError(f"{folder} belongs to another user; set XDG_CACHE_HOME to a folder of your own")
            if found.st_mode & stat.S_IWOTH or (folder == path and found.st_mode & stat.S_IWGRP):
                raise FileError(f"other users can write to {folder}; delete it, or set XDG_CACHE_HOME")
    return make_folder(path)
