"""The command ``clear-cache``: deletes what this project keeps for later starts."""

from dataclasses import dataclass
from pathlib import Path

from mindvit.files import delete, reraise_os_errors
from mindvit.user_cache import user_cache_folder


@dataclass(frozen=True)
class ClearCacheSettings:
    """The command has no settings: it deletes the whole folder ``mindvit`` of the user's cache."""


def clear_cache(settings: ClearCacheSettings) -> None:
    """Deletes the folder ``mindvit`` in the user's cache folder, and prints what was in it.

    Everything there is made again when it is needed. A process that is compiling meanwhile compiles as usual.

    Raises:
        UserError: if it cannot be deleted.
    """
    cache = user_cache_folder()
    if not cache.is_dir():
        print(f"{cache} does not exist; nothing to delete")
        return
    with reraise_os_errors("read", cache):
        entries = sorted(cache.iterdir())
    total = 0
    for entry in entries:
        count, size = _content(entry)
        delete(entry)
        total += size
        print(f"deleted {entry}: {count:,} file{'' if count == 1 else 's'}, {size / 1e6:.1f} MB")
    print(f"freed {total / 1e6:.1f} MB")


def _content(path: Path) -> tuple[int, int]:
    """The number of files, and their size in bytes."""
    is_folder = path.is_dir() and not path.is_symlink()
    files = [item for item in path.rglob("*") if not item.is_dir()] if is_folder else [path]
    return len(files), sum(item.lstat().st_size for item in files)
