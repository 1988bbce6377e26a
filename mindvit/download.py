"""Downloading published files. A file is kept only if it is complete and passes its check."""

import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from download import download

from mindvit.errors import UserError
from mindvit.files import make_folder


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

    Args:
        published: the file.
        path: destination.
        check: reads the complete file and raises an exception if its content is wrong.

    Raises:
        UserError: if the download fails, has another size, or fails the check.
    """
    path = Path(path)
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as folder:
        downloaded = Path(folder) / path.name
        try:
            download(published.url, str(downloaded), kind="file", progressbar=True, replace=True, verbose=False)
        except Exception as error:  # The library raises many exception types for network failures.
            raise UserError(
                f"cannot download {published.url}: {error}. Download it by other means and put it at {path}"
            ) from error
        low, high = published.num_bytes
        size = downloaded.stat().st_size
        if not low <= size <= high:
            raise UserError(f"the download of {published.url} has {size} bytes, not {published.size}; try again")
        try:
            check(downloaded)
        except Exception as error:
            raise UserError(f"the download of {published.url} is corrupt: {error}; try again") from error
        shutil.move(downloaded, path)


def download_archive(published: PublishedFile, path: Path) -> None:
    """Downloads a zip archive and extracts it as the folder ``path``, which must not exist yet.

    If the archive has a single top-level folder, ``path`` replaces that folder.

    Raises:
        UserError: as ``download_file``, or if the archive is corrupt.
    """
    path = Path(path)
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".extract-") as folder:
        archive = Path(folder) / "archive.zip"
        download_file(published, archive, _check_zip)
        extracted = Path(folder) / "extracted"
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(extracted)
        entries = list(extracted.iterdir())
        shutil.move(entries[0] if len(entries) == 1 and entries[0].is_dir() else extracted, path)


def _check_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        corrupt = archive.testzip()
    if corrupt:
        raise ValueError(f"the checksum of {corrupt} does not match")
