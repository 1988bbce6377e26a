"""Verification of a conversion: the checksums of its files against the manifest."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from mindvit.data.mindrecord.manifest import Manifest, Shard, read_manifest
from mindvit.data.mindrecord.reader import open_mindrecord
from mindvit.data.mindrecord.writer import checksum_file
from mindvit.errors import UserError

_MAX_SHOWN = 5


def verify(folder: Path, num_workers: int) -> Manifest:
    """Reads all files of a conversion, and compares their sizes and checksums with the manifest.

    Args:
        folder: folder of the conversion.
        num_workers: number of shards that are read in parallel.

    Returns:
        The manifest of the conversion.

    Raises:
        UserError: if shards are corrupt or missing, with their names; or as ``open_mindrecord``.
    """
    manifest = read_manifest(folder)
    shards = [(folder / split, shard) for split, _, shard in manifest.shards() if shard.is_done]
    with ThreadPoolExecutor(num_workers) as pool:  # Reading and hashing release the GIL.
        results = pool.map(_check_shard, shards)
        errors = list(filter(None, tqdm(results, total=len(shards), unit="shard", desc="verifying", leave=False)))
    if errors:
        more = f"; and {len(errors) - _MAX_SHOWN} more shards" if len(errors) > _MAX_SHOWN else ""
        raise UserError(
            f"{'; '.join(errors[:_MAX_SHOWN])}{more}. Copy these shards again, or remove them and run the conversion "
            "again, which writes missing shards"
        )
    open_mindrecord(folder)
    return manifest


def _check_shard(location: tuple[Path, Shard]) -> str | None:
    folder, shard = location
    return shard.find_error(folder) or next(_checksum_errors(folder, shard), None)


def _checksum_errors(folder: Path, shard: Shard) -> Iterator[str]:
    for path, checksum in shard.files(folder).items():
        try:
            if checksum_file(path) != checksum:
                yield f"{path} is corrupt: its checksum differs from the manifest"
        except OSError as error:
            yield f"{path} cannot be read ({error.strerror})"
