"""Downloading published files. A file is kept only if it is complete and passes its check.

The package ``download`` is not used: it opens the connection for the content without a time limit, it reads a server
that states no size without end, and it resumes a partial file without asking whether the published file is the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from tqdm import tqdm

from mindvit.download.archive import check_zip, extract_zip
from mindvit.download.http_stream import HttpStream, TransferError
from mindvit.download.partial_file import PartialFile
from mindvit.errors import UserError
from mindvit.files import make_folder

_MAX_EXPANSION = 4
"""Greatest size of the files of an archive, as a multiple of its own size. Images hardly shrink in an archive."""


@dataclass(frozen=True)
class PublishedFile:
    """A file to download."""

    url: str
    size: str
    """Published size, for messages."""
    num_bytes: tuple[int, int]
    """Minimum and maximum size in bytes, because the published size is rounded."""


TUTORIAL_DATA = PublishedFile(
    url="https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/vit_imagenet_dataset.zip",
    size="489.1 MB",
    num_bytes=(488_900_000, int(489.3 * 2**20)),
)
TUTORIAL_WEIGHTS = PublishedFile(
    url="https://download.mindspore.cn/vision/classification/vit_b_16_224.ckpt",
    size="330.2 MiB",
    num_bytes=(int(330.1 * 2**20), int(330.3 * 2**20)),
)


def download_file(published: PublishedFile, path: Path, check: Callable[[Path], None]) -> None:
    """Downloads a file to ``path``. The path stays unchanged unless the download is complete and passes ``check``.

    An interrupted download leaves a partial file beside the path, ``NAME.part.EXTENSION``. The next call resumes it if
    the server says by its ETag or date that the published file is still the same.

    Args:
        published: the file.
        path: destination.
        check: reads the complete file and raises an exception if its content is wrong.

    Raises:
        UserError: if the download fails, stalls, has another size, or fails the check.
    """
    path = Path(path)
    make_folder(path.parent)
    try:
        part = PartialFile(path, published.url)
        try:
            _receive(published, part, path)
            part.sync()
            try:
                check(part.path)
            except Exception as error:
                part.discard()
                raise UserError(f"the download of {published.url} is corrupt: {error}; try again") from error
            part.move_to(path)
        finally:
            part.close()
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def download_archive(published: PublishedFile, path: Path) -> None:
    """Downloads a zip archive and extracts it as the folder ``path``, which must not exist yet.

    If the archive has a single top-level folder, ``path`` replaces that folder. An archive beside ``path`` that was
    downloaded by other means is used, and kept.

    Raises:
        UserError: as ``download_file``, if the archive is corrupt or has members that ``check_zip`` refuses, or if it
            cannot be extracted. Nothing is written outside ``path`` then.
    """
    path = Path(path)
    make_folder(path.parent)
    archive = path.parent / PurePosixPath(urlsplit(published.url).path).name
    check = partial(check_zip, max_bytes=_MAX_EXPANSION * published.num_bytes[1])
    is_given = archive.is_file()
    if is_given:
        try:
            check(archive)
        except UserError as error:
            raise UserError(f"{archive} is corrupt: {error}; remove it, or download it again") from error
    else:
        download_file(published, archive, check)
    with TemporaryDirectory(dir=path.parent, prefix=".extract-") as folder:
        extracted = Path(folder) / "extracted"
        extract_zip(archive, extracted)
        entries = list(extracted.iterdir())
        source = entries[0] if len(entries) == 1 and entries[0].is_dir() else extracted
        try:
            source.rename(path)
        except OSError as error:
            if not path.is_dir():  # Otherwise another process extracted the same archive.
                raise UserError(f"cannot extract {archive} to {path}: {error.strerror}") from error
    if not is_given:
        archive.unlink(missing_ok=True)


def _receive(published: PublishedFile, part: PartialFile, path: Path) -> None:
    try:
        with HttpStream(published.url, part.size, part.validator) as stream:
            head = stream.head()
            part.start(head.offset, head.validator)
            if head.total is not None:
                _check_size(head.total, published, part)
            name = part.path.name
            with tqdm(total=head.total, initial=part.size, desc=name, unit="B", unit_scale=True, leave=False) as bar:
                while chunk := stream.read():
                    part.write(chunk)
                    bar.update(len(chunk))
                    if part.size > published.num_bytes[1]:  # A server that does not say the size may never end.
                        _check_size(part.size, published, part)
            if head.total is not None and part.size < head.total:
                raise TransferError(f"the connection ended after {part.size:,} of {head.total:,} bytes")
    except TransferError as error:
        kept = f"{part.size:,} bytes are kept, and the same command resumes. " if part.is_resumable else ""
        raise UserError(
            f"cannot download {published.url}: {error}. {kept}Download it by other means and put it at {path}"
        ) from error
    _check_size(part.size, published, part)


def _check_size(size: int, published: PublishedFile, part: PartialFile) -> None:
    low, high = published.num_bytes
    if not low <= size <= high:
        part.discard()
        raise UserError(f"the download of {published.url} has {size:,} bytes, not {published.size}; try again")
