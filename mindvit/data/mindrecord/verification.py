"""Holding the files of a conversion to the checksums that they were written with."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from mindvit.data.mindrecord.manifest import Manifest, Shard, read_manifest
from mindvit.data.mindrecord.reader import open_mindrecord
from mindvit.data.mindrecord.writer import infer_config
from mindvit.errors import UserError

_SHOWN = 5


def verify(folder: Path, num_workers: int) -> Manifest:
    """Reads all files of a conversion, and compares their sizes and checksums with the manifest's.

    Args:
        folder: the conversion's.
        num_workers: files read at a time.

    Returns:
        Its manifest.

    Raises:
        UserError: naming the shards that are damaged or missing; or as ``open_mindrecord``.
    """
    manifest = read_manifest(folder)
    shards = [(folder / split, shard) for split, _, shard in manifest.shards() if shard.is_done]
    with ThreadPoolExecutor(num_workers) as pool:  # Reading and hashing let other threads go on.
        found = pool.map(_fault, shards)
        faults = list(filter(None, tqdm(found, total=len(shards), unit="shard", desc="verifying", leave=False)))
    if faults:
        more = f"; {len(faults) - _SHOWN} more are" if len(faults) > _SHOWN else ""
        raise UserError(
            f"{'; '.join(faults[:_SHOWN])}{more}. Copy them again, or remove them and run the conversion again, "
            "which writes what is missing"
        )
    open_mindrecord(folder)
    return manifest


def _fault(place: tuple[Path, Shard]) -> str | None:
    folder, shard = place
    return shard.fault(folder) or next(_other_checksums(folder, shard), None)


def _other_checksums(folder: Path, shard: Shard) -> Iterator[str]:
    for path, facts in shard.files(folder).items():
        try:
            if infer_config(path) != facts:
                yield f"{path} is damaged: its checksum is not what it was written with"
        except OSError as error:
            yield f"{path} cannot be read ({error.strerror})"
