"""Writing a shard, and checking it by reading it back through MindSpore."""

import hashlib
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import mindspore.dataset as ds
from mindspore.mindrecord import FileWriter

from mindvit.data.mindrecord.listing import ImageFiles
from mindvit.data.mindrecord.manifest import DATA_SUFFIX, INDEX_SUFFIX, FileChecksum, Shard
from mindvit.errors import UserError
from mindvit.files import replacing

Row = tuple[bytes, int, str]
"""Content of an image file, its label, and its path relative to the folder of the split."""
OnProgress = Callable[[int], None]
"""Called regularly with the number of newly read images. It may raise an exception to stop the conversion."""

SCHEMA = {"data": {"type": "bytes"}, "label": {"type": "int32"}, "file": {"type": "string"}}
_HEADER_BYTES = 2**20
_PAGE_BYTES = (2**23, 2**28)
"""Minimum page size, and the maximum of MindSpore."""
_MAX_PAGES = 2000
"""A page takes about 200 bytes of the header."""
_DISK_FULL_BYTES = 2**26
"""Free space below which a disk counts as full: MindSpore fails slightly before the disk is full."""
_CHUNK_BYTES = 2**23
_CHUNK_ROWS = 256


def write_shard(folder: Path, shard: Shard, images: ImageFiles, on_progress: OnProgress) -> Shard:
    """Writes a shard into the folder of its split, atomically and only if its content is correct.

    The shard is written in a temporary folder, under its final name, because MindSpore's index contains the file name.
    It is moved to its place after MindSpore's own reader has found all images in it, with the same bytes, labels and
    names.

    Args:
        folder: destination folder.
        shard: name and number of images of the shard.
        images: the image files.
        on_progress: see ``OnProgress``.

    Returns:
        The shard with the sizes and checksums of its files.

    Raises:
        UserError: if an image cannot be read or has changed, with its name; if the shard cannot be written; or if its
            content differs when it is read back.
    """
    with replacing(folder / (shard.name + DATA_SUFFIX)) as path:
        index = path.with_name(shard.name + INDEX_SUFFIX)
        try:
            written = _write(path, images, on_progress)
            read_back = _digest(_rows(path, on_progress))
        except UserError:
            raise
        except Exception as error:  # MindSpore raises many exception types.
            raise UserError(f"cannot write {folder / path.name}: {_error_reason(error, folder)}") from error
        if read_back != written:
            raise UserError(
                f"the content read back from {folder / path.name} differs from the {written[0]:,} images written "
                f"({read_back[0]:,} were found); try again, and check the disk"
            )
        checksums = checksum_file(path), checksum_file(index)
        with replacing(folder / index.name) as place:
            index.replace(place)
    return Shard(shard.name, shard.count, *checksums)


def checksum_file(path: Path) -> FileChecksum:
    """The size and SHA-256 checksum of a file."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(2**20):
            digest.update(chunk)
        return FileChecksum(file.tell(), digest.hexdigest())


def _write(path: Path, images: ImageFiles, on_progress: OnProgress) -> tuple[int, str]:
    writer = FileWriter(str(path), shard_num=1)
    # With MindSpore's default header and page sizes, up to 48 MB of each shard would be empty.
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
        writer.write_raw_data(chunk)  # One call per image would take 16 times as long.
        on_progress(len(chunk))
        chunk.clear()

    digest = _digest(written())
    writer.commit()
    return digest


def _page_bytes(images: ImageFiles) -> int:
    """The page size: the smallest power of two, at least 8 MiB, for which each image fits on a page.

    It is also large enough that all images fit on ``_MAX_PAGES`` pages.

    Raises:
        UserError: if an image is larger than the maximum page size; the message names it.
    """
    smallest, greatest = _PAGE_BYTES
    largest = int(images.sizes.argmax())
    needed = max(int(images.sizes[largest]) + 8, int(images.sizes.sum()) // _MAX_PAGES, smallest)
    if needed > greatest:
        where = images.root / images.files[largest]
        raise UserError(f"a MindRecord file cannot store the {images.sizes[largest]:,} bytes of {where}")
    return 1 << (needed - 1).bit_length()


def _source_rows(images: ImageFiles) -> Iterator[Row]:
    for file, label, size in zip(images.files, images.labels.tolist(), images.sizes.tolist(), strict=True):
        path = images.root / file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read the image {path}: {error.strerror}") from error
        if len(data) != size:
            raise UserError(f"the image {path} changed during the conversion; run the conversion again")
        yield data, label, file.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _rows(path: Path, on_progress: OnProgress) -> Iterator[Row]:
    """The rows of a shard as MindSpore reads them. ``FileReader`` would take ten times as long as ``MindDataset``."""
    shard = ds.MindDataset([str(path)], list(SCHEMA), num_parallel_workers=1, shuffle=False)
    for data, label, file in shard.create_tuple_iterator(num_epochs=1, output_numpy=True):
        on_progress(0)
        yield data.tobytes(), int(label), str(file)


def _digest(rows: Iterable[Row]) -> tuple[int, str]:
    """The number of rows, and a checksum of their content."""
    digest, count = hashlib.sha256(), 0
    for data, label, file in rows:
        name = file.encode()
        digest.update(struct.pack("<iQQ", label, len(name), len(data)) + name)
        digest.update(data)
        count += 1
    return count, digest.hexdigest()


def _error_reason(error: Exception, folder: Path) -> str:
    if shutil.disk_usage(folder).free < _DISK_FULL_BYTES:
        return "the disk is full; free some space and run the conversion again. Finished shards are kept"
    # MindSpore's messages have many lines, and only one states the cause.
    lines = [line.strip() for line in str(error).splitlines()]
    causes = [line for line in lines if line.startswith("[ERROR]")] or list(filter(None, lines)) or [repr(error)]
    return causes[0].removeprefix("[ERROR]").strip()
