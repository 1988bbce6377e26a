"""Writing one shard, and reading it back through MindSpore before it takes its place."""

import hashlib
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import mindspore.dataset as ds
from mindspore.mindrecord import FileWriter

from mindvit.data.mindrecord.listing import Images
from mindvit.data.mindrecord.manifest import ENDING, INDEX_ENDING, FileChecksum, Shard
from mindvit.errors import UserError
from mindvit.files import replacing

Row = tuple[bytes, int, str]
"""An image file's bytes, its label, and its path below the split's folder."""
Step = Callable[[int], None]
"""Told how many more images were read from the source, now and then; may end the work by an exception."""

SCHEMA = {"data": {"type": "bytes"}, "label": {"type": "int32"}, "file": {"type": "string"}}
_HEADER_BYTES = 2**20
_PAGE_BYTES = (2**23, 2**28)
"""Least, and the greatest that MindSpore has."""
_MOST_PAGES = 2000
"""Each takes some 200 bytes of the header."""
_FULL_BYTES = 2**26
"""Free space at which a disk is called full: MindSpore gives up a little before the end."""
_CHUNK_BYTES = 2**23
_CHUNK_ROWS = 256


def write_shard(folder: Path, shard: Shard, images: Images, step: Step) -> Shard:
    """Writes a shard into the folder of its split: whole, checked and under its name, or not at all.

    The shard is written under its own name in a temporary folder, for MindSpore's index holds the name of its file. It
    takes its place once MindSpore's own reader finds in it as many images as there are, with the same bytes, labels
    and names.

    Args:
        folder: where to.
        shard: its name and count.
        images: what it shall hold.
        step: see ``Step``.

    Returns:
        The shard with the sizes and checksums of its files.

    Raises:
        UserError: naming an image that cannot be read or has changed; or if the shard cannot be written, or cannot be
            read back as it was written.
    """
    with replacing(folder / (shard.name + ENDING)) as path:
        index = path.with_name(shard.name + INDEX_ENDING)
        try:
            written = _write(path, images, step)
            read_back = _digest(_rows(path, step))
        except UserError:
            raise
        except Exception as error:  # MindSpore raises many kinds.
            raise UserError(f"cannot write {folder / path.name}: {_reason(error, folder)}") from error
        if read_back != written:
            raise UserError(
                f"what was read back from {folder / path.name} differs from the {written[0]:,} images written "
                f"({read_back[0]:,} were found); try again, and doubt the disk"
            )
        facts = infer_config(path), infer_config(index)
        with replacing(folder / index.name) as place:
            index.replace(place)
    return Shard(shard.name, shard.count, *facts)


def infer_config(path: Path) -> FileChecksum:
    """The size and the checksum of a file."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while part := file.read(2**20):
            digest.update(part)
        return FileChecksum(file.tell(), digest.hexdigest())


def _write(path: Path, images: Images, step: Step) -> tuple[int, str]:
    writer = FileWriter(str(path), shard_num=1)
    # MindSpore's own header and pages would leave up to 48 MB of each shard empty.
    writer.set_header_size(_HEADER_BYTES)
    writer.set_page_size(_page_bytes(images))
    writer.add_schema(SCHEMA)
    writer.add_index(["label", "file"])
    chunk: list[dict] = []

    def written() -> Iterator[Row]:
        size = 0
        for row in _source_rows(images):
            yield row
            chunk.append(dict(zip(SCHEMA, row, strict=True)))
            size += len(row[0])
            if size >= _CHUNK_BYTES or len(chunk) >= _CHUNK_ROWS:
                flush()
                size = 0
        flush()

    def flush() -> None:
        writer.write_raw_data(chunk)  # One call an image would take 16 times as long.
        step(len(chunk))
        chunk.clear()

    digest = _digest(written())
    writer.commit()
    return digest


def _page_bytes(images: Images) -> int:
    """The least power of two from 8 MiB up that holds every image, and all of them on few pages.

    Raises:
        UserError: naming an image that no page holds.
    """
    least, most = _PAGE_BYTES
    largest = int(images.sizes.argmax())
    needed = max(int(images.sizes[largest]) + 8, int(images.sizes.sum()) // _MOST_PAGES, least)
    if needed > most:
        where = images.root / images.files[largest]
        raise UserError(f"a MindRecord file cannot hold the {images.sizes[largest]:,} bytes of {where}")
    return 1 << (needed - 1).bit_length()


def _source_rows(images: Images) -> Iterator[Row]:
    for file, label, size in zip(images.files, images.labels.tolist(), images.sizes.tolist(), strict=True):
        path = images.root / file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read the image {path}: {error.strerror}") from error
        if len(data) != size:
            raise UserError(f"the image {path} has changed while it was converted; start again")
        yield data, label, file.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _rows(path: Path, step: Step) -> Iterator[Row]:
    """A shard's rows as MindSpore reads them; ``FileReader`` would take ten times as long as ``MindDataset``."""
    shard = ds.MindDataset([str(path)], list(SCHEMA), num_parallel_workers=1, shuffle=False)
    for data, label, file in shard.create_tuple_iterator(num_epochs=1, output_numpy=True):
        step(0)
        yield data.tobytes(), int(label), str(file)


def _digest(rows: Iterable[Row]) -> tuple[int, str]:
    """How many rows there are, and a checksum over all that they hold."""
    digest, count = hashlib.sha256(), 0
    for data, label, file in rows:
        name = file.encode()
        digest.update(struct.pack("<iQQ", label, len(name), len(data)) + name)
        digest.update(data)
        count += 1
    return count, digest.hexdigest()


def _reason(error: Exception, folder: Path) -> str:
    if shutil.disk_usage(folder).free < _FULL_BYTES:
        return "the disk is full; free some space and run the conversion again, finished shards stay"
    # MindSpore's messages are long and hold what was wrong in one line of many.
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line.startswith("[ERROR]")] or list(filter(None, lines)) or [repr(error)]
    return told[0].removeprefix("[ERROR]").strip()
