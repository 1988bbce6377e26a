"""Extracting zip archives from untrusted sources."""

import stat
import zipfile
from pathlib import Path, PurePosixPath

from mindvit.errors import UserError
from mindvit.printable import printable

_MAX_FILES = 2_000_000


def check_zip(path: Path, max_bytes: int) -> None:
    """Checks that an archive can be extracted into a folder without surprises, and that its files are intact.

    Args:
        path: the archive.
        max_bytes: greatest size of all files together, extracted.

    Raises:
        UserError: if it is not a zip archive, has no files, more files or bytes than are allowed, a damaged or an
            encrypted file, a link or a device, a name outside the folder, or a name twice.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive.infolist(), max_bytes)
            damaged = archive.testzip()
    except UserError:
        raise
    except Exception as error:  # zipfile raises exceptions of many types at corrupt content.
        raise UserError(f"it is not an intact zip archive ({printable(str(error), 200)})") from error
    if damaged:
        raise UserError(f"the checksum of {printable(damaged, 200)} does not match")


def extract_zip(path: Path, folder: Path) -> None:
    """Extracts an archive that passed ``check_zip`` into a new folder.

    Raises:
        UserError: if a file cannot be written.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    except OSError as error:
        raise UserError(f"cannot extract {path}: {printable(str(error), 300)}") from error


def _check_members(members: list[zipfile.ZipInfo], max_bytes: int) -> None:
    files = [member for member in members if not member.is_dir()]
    if not files:
        raise UserError("it has no files")
    # zipfile reads no more of a file than its declared size.
    total = sum(member.file_size for member in files)
    if total > max_bytes or len(members) > _MAX_FILES:
        raise UserError(
            f"it has {len(members):,} files of {total:,} bytes together, and at most {max_bytes:,} are expected"
        )
    kinds: dict[tuple[str, ...], bool] = {}
    for member in members:
        name = printable(member.filename, 200)
        parts = PurePosixPath(member.filename.replace("\\", "/")).parts
        if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0]:
            raise UserError(f"it has a file outside its folder, {name}")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError(f"it has the link or device {name}; only files and folders are allowed")
        if parts in kinds:
            raise UserError(f"it has {name} twice")
        kinds[parts] = member.is_dir()
    for parts in kinds:
        if any(not kinds.get(parts[:end], True) for end in range(1, len(parts))):
            raise UserError(f"it has {printable('/'.join(parts), 200)} below a file")
