"""Fetching published files: whole and checked, or not at all."""

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
    """A file on the web."""

    url: str
    size: str
    """Its published size, for messages."""
    num_bytes: tuple[int, int]
    """The least and the greatest number of bytes that the published size, rounded as it is, can mean."""


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
    """Fetches a file to ``path``, which is untouched unless the whole file has arrived and passed ``check``.

    Args:
        published: what to fetch.
        path: where to put it.
        check: reads the file whole and raises an exception where it is not what it should be.

    Raises:
        UserError: if it cannot be reached, has another size, or fails the check.
    """
    path = Path(path)
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch-") as folder:
        part = Path(folder) / path.name
        try:
            download(published.url, str(part), kind="file", progressbar=True, replace=True, verbose=False)
        except Exception as error:  # the library raises many kinds, for every way a network can fail
            raise UserError(
                f"cannot fetch {published.url}: {error}. Fetch it by other means and put it at {path}"
            ) from error
        low, high = published.num_bytes
        if not low <= part.stat().st_size <= high:
            raise UserError(f"{published.url} sent {part.stat().st_size} bytes, not {published.size}; try again")
        try:
            check(part)
        except Exception as error:
            raise UserError(f"what {published.url} sent is damaged: {error}; try again") from error
        shutil.move(part, path)


def download_archive(published: PublishedFile, path: Path) -> None:
    """Fetches a zip archive and unpacks it as the folder ``path``, which must not exist yet.

    An archive that holds a single folder is unpacked without it.

    Raises:
        UserError: as ``download_file`` does, or if the archive is damaged.
    """
    path = Path(path)
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".unpack-") as folder:
        archive = Path(folder) / "archive.zip"
        download_file(published, archive, _check_zip)
        unpacked = Path(folder) / "unpacked"
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(unpacked)
        entries = list(unpacked.iterdir())
        shutil.move(entries[0] if len(entries) == 1 and entries[0].is_dir() else unpacked, path)


def _check_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise ValueError(f"the checksum of {damaged} does not fit")
