"""MindRecord shards as a data source, with thread-safe random access to the images."""

import os
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from mindvit.data.images import ScaleChoice, read_image
from mindvit.data.mindrecord.index import LENGTH_BYTES, read_names, read_rows
from mindvit.data.mindrecord.manifest import DATA_SUFFIX, Manifest, Shard, read_manifest
from mindvit.data.split import Source, Split
from mindvit.errors import UserError

_OPEN_FILES = 256
"""Maximum number of open shards per split. The usual limit of a process is 1,024 files."""


def open_mindrecord(path: Path) -> Source:
    """Opens a conversion of ``scripts/convert_to_mindrecord.py``, with the images, labels and order of its source.

    The file sizes are compared with the manifest. Checksums are not computed; ``--verify`` of the script does this.

    Raises:
        UserError: for a missing folder, manifest, shard or index; an unfinished conversion; files whose size or number
            of images differs from the manifest; a manifest of a newer version.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(
            f"the data folder {path} does not exist; set --data.path to the output of scripts/convert_to_mindrecord.py"
        )
    manifest = read_manifest(path)
    if not manifest.is_done:
        done = [shard.is_done for _, _, shard in manifest.shards()]
        raise UserError(
            f"the conversion into {path} is not finished: it has {sum(done)} of {len(done)} shards; "
            "run it again to resume"
        )
    splits = {name: _open_split(path, name, shards, manifest) for name, shards in manifest.splits.items()}
    unsplit = splits.get("all")
    return Source(splits.get("train", unsplit), splits.get("val", unsplit), splits.get("test"))


def _open_split(path: Path, split: str, shards: tuple[Shard, ...], manifest: Manifest) -> Split:
    folder = path / split
    for shard in shards:
        if error := shard.find_error(folder):
            raise UserError(f"{error}; copy it again, or run the conversion again, which writes missing shards")
    images = _ShardImages(folder, shards, len(manifest.classes))

    def name(index: int) -> str:
        # The fingerprint stands for the names of all files, which only a query of the indices gives.
        return f"{manifest.fingerprint}:{split}:{index}"

    about = (str(folder), manifest.classes, images.labels)
    return Split(*about, images.read, images.describe, manifest.flip, name, read_scaled=images.read)


class _ShardImages:
    """The images of a split, indexed through all its shards.

    An image is read by its offset with ``pread``, so that threads and forked processes do not share a file position.
    A file is opened at its first read.
    """

    def __init__(self, folder: Path, shards: tuple[Shard, ...], num_classes: int) -> None:
        self._paths = [folder / (shard.name + DATA_SUFFIX) for shard in shards]
        self._starts = np.cumsum([0, *(shard.count for shard in shards)])
        rows = [read_rows(path, shard.count, num_classes) for path, shard in zip(self._paths, shards, strict=True)]
        self.labels = np.concatenate([shard_rows.labels for shard_rows in rows])
        self._offsets = np.concatenate([shard_rows.offsets for shard_rows in rows])
        self._sizes = np.concatenate([shard_rows.sizes for shard_rows in rows])
        self._cached_file = lru_cache(_OPEN_FILES)(self._open)
        self._names = lru_cache(None)(self._read_names)

    def read(self, index: int, choose_scale: ScaleChoice | None = None) -> Image.Image:
        """As ``Split.read``, or as ``Split.read_scaled``."""
        try:
            return read_image(BytesIO(self._bytes(index)), "", choose_scale)
        except UserError:
            # The name is looked up only for the error message, because this needs a query of the index.
            return read_image(BytesIO(self._bytes(index)), self.describe(index), choose_scale)

    def describe(self, index: int) -> str:
        """As ``Split.describe``: the shard, and the path of the image in the source."""
        shard = self._shard(index)
        names = self._names(shard)
        return f"{self._paths[shard]}: {names[index - int(self._starts[shard])]}"

    def _bytes(self, index: int) -> bytes:
        size, offset = int(self._sizes[index]), int(self._offsets[index])
        try:
            file = self._cached_file(self._shard(index))  # This reference keeps the file open if the cache drops it.
            row = os.pread(file.fileno(), size, offset)
        except OSError as error:
            raise UserError(f"cannot read the image {self.describe(index)}: {error.strerror}") from error
        if int.from_bytes(row[:LENGTH_BYTES], "little") != len(row) - LENGTH_BYTES:
            raise UserError(
                f"{self.describe(index)} is corrupt: its shard has other bytes at this offset; "
                "find all corrupt shards with scripts/convert_to_mindrecord.py --verify"
            )
        return row[LENGTH_BYTES:]

    def _shard(self, index: int) -> int:
        return int(np.searchsorted(self._starts, index, side="right")) - 1

    def _open(self, shard: int) -> BinaryIO:
        return open(self._paths[shard], "rb", buffering=0)

    def _read_names(self, shard: int) -> list[str]:
        return read_names(self._paths[shard], int(self._starts[shard + 1] - self._starts[shard]))
