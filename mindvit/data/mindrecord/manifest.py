"""The manifest of a conversion: the planned shards, and the checksums of the shards written so far."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.files import write_text

MANIFEST_NAME = "manifest.json"
SPLITS = ("train", "val", "test", "all")
"""Folders of shards. ``all`` has the images of a source without splits, and is then the only folder."""
DATA_SUFFIX = ".mindrecord"
INDEX_SUFFIX = ".mindrecord.db"
_FORMAT = 1


@dataclass(frozen=True)
class FileChecksum:
    """Size and checksum of a file."""

    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Shard:
    """A MindRecord file, ``<name>.mindrecord``, and the index file that MindSpore writes for it."""

    name: str
    count: int
    """Number of images."""
    data: FileChecksum | None = None
    """Checksum of the MindRecord file. None until the shard is written."""
    index: FileChecksum | None = None
    """Checksum of the index file. None until the shard is written."""

    @property
    def is_done(self) -> bool:
        """Whether the shard is written and was read back successfully."""
        return self.data is not None and self.index is not None

    def files(self, folder: Path) -> dict[Path, FileChecksum]:
        """The files of a completed shard in the folder of its split, with their checksums."""
        return {folder / (self.name + DATA_SUFFIX): self.data, folder / (self.name + INDEX_SUFFIX): self.index}

    def find_error(self, folder: Path) -> str | None:
        """Checks that the files of a completed shard exist and have the right size.

        Returns:
            An error message that starts with a path, or None if the files are valid.
        """
        for path, checksum in self.files(folder).items():
            try:
                num_bytes = path.stat().st_size
            except FileNotFoundError:
                return f"{path} is missing"
            except OSError as error:
                return f"{path} cannot be read ({error.strerror})"
            except ValueError as error:
                return f"{path} is not a possible file name ({error})"
            if num_bytes != checksum.num_bytes:
                return f"{path} is corrupt: it has {num_bytes:,} bytes instead of {checksum.num_bytes:,}"
        return None


@dataclass(frozen=True)
class Manifest:
    """All shards of a conversion, in the order of the source's images, and their common properties."""

    classes: Classes
    flip: bool
    """Whether a horizontal flip keeps the class of an image."""
    fingerprint: str
    """SHA-256 of the names, labels and sizes of the source's files."""
    splits: dict[str, tuple[Shard, ...]]
    """Shards of each split, by the name of the split."""

    @property
    def is_done(self) -> bool:
        """Whether all shards are completed."""
        return all(shard.is_done for _, _, shard in self.shards())

    @property
    def plan(self) -> "Manifest":
        """The manifest at the start of the conversion, without checksums."""
        return replace(self, splits={k: tuple(Shard(s.name, s.count) for s in v) for k, v in self.splits.items()})

    def shards(self) -> Iterator[tuple[str, int, Shard]]:
        """All shards, each with the name of its split and its index in the split."""
        for split, shards in self.splits.items():
            for index, shard in enumerate(shards):
                yield split, index, shard

    def with_shard(self, split: str, index: int, shard: Shard) -> "Manifest":
        """A copy with one shard replaced."""
        shards = list(self.splits[split])
        shards[index] = shard
        return replace(self, splits={**self.splits, split: tuple(shards)})

    def write(self, folder: Path) -> None:
        """Writes the manifest into the folder of the conversion, atomically."""
        stored = {"format": _FORMAT, **asdict(self)}
        # json.dumps writes ASCII, because file names need not be valid UTF-8.
        write_text(folder / MANIFEST_NAME, json.dumps(stored, indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a conversion.

    Raises:
        UserError: if the manifest is missing, corrupt or of a newer version.
    """
    path = folder / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{folder} has no {MANIFEST_NAME}, so it is not a conversion of scripts/convert_to_mindrecord.py; "
            "set --data.path to the --output folder of a conversion"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        stored = json.loads(text)
        if stored["format"] > _FORMAT:
            raise UserError(f"{path} was written by a newer version (format {stored['format']}); update mindvit")
        return _from_json(stored)
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is corrupt ({error}); run the conversion again with --overwrite") from error


def _from_json(stored: dict[str, Any]) -> Manifest:
    """Parses the content of a manifest. Checks all types, and that the name of a shard is not a path."""
    ids, names = (tuple(map(_as_str, stored["classes"][key])) for key in ("ids", "names"))
    if len(ids) != len(names) or len(ids) < 2:
        raise ValueError(f"{len(ids)} class ids and {len(names)} class names")
    splits = {name: tuple(map(_shard, shards)) for name, shards in stored["splits"].items()}
    if not splits or not (set(splits) == {"all"} or set(splits) <= {"train", "val", "test"}):
        raise ValueError(f"the splits are {', '.join(splits) or 'missing'}")
    if not all(splits.values()):
        raise ValueError("a split has no shards")
    return Manifest(Classes(ids, names), bool(stored["flip"]), _as_str(stored["fingerprint"]), splits)


def _shard(stored: dict[str, Any]) -> Shard:
    name, count = _as_str(stored["name"]), _as_count(stored["count"])
    if Path(name).name != name or count == 0:
        raise ValueError(f"invalid shard {name!r} with {count} images")
    return Shard(name, count, *(None if stored[key] is None else _checksum(stored[key]) for key in ("data", "index")))


def _checksum(stored: dict[str, Any]) -> FileChecksum:
    return FileChecksum(_as_count(stored["num_bytes"]), _as_str(stored["sha256"]))


def _as_str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value


def _as_count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is not a count")
    return value
