"""Decodes every image of a split, in parallel."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from mindvit.data.images import check_regular
from mindvit.data.split import Split
from mindvit.errors import UserError

_CHUNK = 16
"""Images per task of a thread."""


@dataclass(frozen=True)
class ScannedImage:
    """What decoding an image has shown."""

    size: tuple[int, int] | None = None
    """Width and height in display orientation; None if the image cannot be decoded."""
    pixels: bytes | None = None
    """Digest of size and pixels."""
    content: bytes | None = None
    """Digest of the bytes of the file; None if the image is not a file of its own."""
    error: str | None = None
    """Why it cannot be decoded, with its name."""


def scan_images(split: Split, num_workers: int, bar: tqdm) -> list[ScannedImage]:
    """Decodes all images of a split.

    Args:
        split: the images.
        num_workers: threads.
        bar: progress bar, which counts images.

    Returns:
        One entry for each image, in the order of the split.
    """

    def scan(first: int) -> list[ScannedImage]:
        return [_scan(split, index) for index in range(first, min(first + _CHUNK, len(split)))]

    found: list[ScannedImage] = []
    executor = ThreadPoolExecutor(num_workers)
    try:
        for part in executor.map(scan, range(0, len(split), _CHUNK)):
            found += part
            bar.update(len(part))
    finally:
        executor.shutdown(cancel_futures=True)  # After Ctrl-C, the images that no thread has begun are left out.
    return found


def _scan(split: Split, index: int) -> ScannedImage:
    try:
        image = split.read(index)
    except UserError as error:
        return ScannedImage(error=str(error))
    digest = hashlib.blake2b(repr(image.size).encode(), digest_size=16)
    digest.update(image.tobytes())
    return ScannedImage(image.size, digest.digest(), _file_digest(Path(split.describe(index))))


def _file_digest(path: Path) -> bytes | None:
    try:
        check_regular(path)
        return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except (OSError, UserError):  # An image inside another file, or one that was removed meanwhile.
        return None
