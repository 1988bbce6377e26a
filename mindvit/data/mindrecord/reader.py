"""Shards of a conversion as a data source: any image by its index, from any thread."""

import os
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from mindvit.data.images import read_image
from mindvit.data.mindrecord.index import LENGTH_BYTES, read_names, read_rows
from mindvit.data.mindrecord.manifest import ENDING, Manifest, Shard, read_manifest
from mindvit.data.split import Source, Split
from mindvit.errors import UserError

_OPEN_FILES = 256
"""Shards of a split that are kept open; a process may commonly open 1,024 files."""


def open_mindrecord(path: Path) -> Source:
    """Opens what ``scripts/convert_to_mindrecord.py`` wrote: the images, labels and order of the source it read.

    The files' sizes are held to the manifest; checksums are not computed (``--verify`` of the script does that).

    Raises:
        UserError: for a missing folder, manifest, shard or index; a conversion that is not finished; files of another
            size or with other counts than the manifest has; a manifest of a newer version.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(
            f"the data folder {path} does not exist; set --data.path to what scripts/convert_to_mindrecord.py wrote"
        )
    manifest = read_manifest(path)
    if not manifest.is_done:
        done = [shard.is_done for _, _, shard in manifest.shards()]
        raise UserError(
            f"the conversion into {path} is not finished: it has {sum(done)} of {len(done)} shards; "
            "run it again, and it goes on with the others"
        )
    splits = {name: _open_split(path / name, shards, manifest) for name, shards in manifest.splits.items()}
    whole = splits.get("all")
    return Source(train=splits.get("train", whole), val=splits.get("val", whole))


def _open_split(folder: Path, shards: tuple[Shard, ...], manifest: Manifest) -> Split:
    for shard in shards:
        if fault := shard.fault(folder):
            raise UserError(f"{fault}; copy it again, or run the conversion again, which writes what is missing")
    images = _Images(folder, shards, len(manifest.classes))
    return Split(str(folder), manifest.classes, images.labels, images.read, images.describe, flip=manifest.flip)


class _Images:
    """The images of a split's shards, numbered through all of them.

    An image is read by its place in the file, without a position that threads or forked processes would share. Files
    are opened when they are first read.
    """

    def __init__(self, folder: Path, shards: tuple[Shard, ...], num_classes: int) -> None:
        self._paths = [folder / (shard.name + ENDING) for shard in shards]
        self._starts = np.cumsum([0, *(shard.count for shard in shards)])
        rows = [read_rows(path, shard.count, num_classes) for path, shard in zip(self._paths, shards, strict=True)]
        self.labels = np.concatenate([part.labels for part in rows])
        self._offsets = np.concatenate([part.offsets for part in rows])
        self._sizes = np.concatenate([part.sizes for part in rows])
        self._opened = lru_cache(_OPEN_FILES)(self._open)
        self._names = lru_cache(None)(self._read_names)

    def read(self, index: int) -> Image.Image:
        """As ``Split.read``."""
        try:
            return read_image(BytesIO(self._bytes(index)), "")
        except UserError:
            # Only now is its name worth a look into the index.
            return read_image(BytesIO(self._bytes(index)), self.describe(index))

    def describe(self, index: int) -> str:
        """As ``Split.describe``: the shard, and the file that the image was in the source."""
        shard = self._shard(index)
        names = self._names(shard)
        return f"{self._paths[shard]}: {names[index - int(self._starts[shard])]}"

    def _bytes(self, index: int) -> bytes:
        size, offset = int(self._sizes[index]), int(self._offsets[index])
        try:
            file = self._opened(self._shard(index))  # Held, so that no other thread closes it before it is read.
            row = os.pread(file.fileno(), size, offset)
        except OSError as error:
            raise UserError(f"cannot read the image {self.describe(index)}: {error.strerror}") from error
        if int.from_bytes(row[:LENGTH_BYTES], "little") != len(row) - LENGTH_BYTES:
            raise UserError(
                f"{self.describe(index)} is damaged: its shard has other bytes in its place; "
                "scripts/convert_to_mindrecord.py --verify tells which shards are"
            )
        return row[LENGTH_BYTES:]

    def _shard(self, index: int) -> int:
        return int(np.searchsorted(self._starts, index, side="right")) - 1

    def _open(self, shard: int) -> BinaryIO:
        return open(self._paths[shard], "rb", buffering=0)

    def _read_names(self, shard: int) -> list[str]:
        return read_names(self._paths[shard], int(self._starts[shard + 1] - self._starts[shard]))
