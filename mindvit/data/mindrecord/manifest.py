"""The manifest of a conversion: its plan from the start, and what has come of it so far."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.files import write_text

NAME = "manifest.json"
SPLITS = ("train", "val", "all")
"""Folders of shards; ``all`` are the images of a source that is not split, and stands alone."""
ENDING = ".mindrecord"
INDEX_ENDING = ".mindrecord.db"
_FORMAT = 1


@dataclass(frozen=True)
class FileChecksum:
    """What a file must be."""

    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Shard:
    """A MindRecord file, ``<name>.mindrecord``, and the index that MindSpore keeps beside it."""

    name: str
    count: int
    """Its images."""
    data: FileChecksum | None = None
    """None until it is written."""
    index: FileChecksum | None = None

    @property
    def is_done(self) -> bool:
        """Whether it was written and found to hold what it should."""
        return self.data is not None and self.index is not None

    def files(self, folder: Path) -> dict[Path, FileChecksum]:
        """Its files in the folder of its split, and what they must be; only of a shard that is done."""
        return {folder / (self.name + ENDING): self.data, folder / (self.name + INDEX_ENDING): self.index}

    def fault(self, folder: Path) -> str | None:
        """What the sizes of its files tell to be wrong with them, as the end of a sentence that begins with a path."""
        for path, facts in self.files(folder).items():
            try:
                num_bytes = path.stat().st_size
            except FileNotFoundError:
                return f"{path} is missing"
            except OSError as error:
                return f"{path} cannot be read ({error.strerror})"
            if num_bytes != facts.num_bytes:
                return f"{path} is damaged: it has {num_bytes:,} bytes in place of {facts.num_bytes:,}"
        return None


@dataclass(frozen=True)
class Manifest:
    """All shards of a conversion, in the order of the source's images, and what is common to them."""

    classes: Classes
    flip: bool
    """Whether a mirrored image still shows its class."""
    fingerprint: str
    """SHA-256 of the source's files' names, labels and sizes."""
    splits: dict[str, tuple[Shard, ...]]

    @property
    def is_done(self) -> bool:
        """Whether all shards are."""
        return all(shard.is_done for _, _, shard in self.shards())

    @property
    def plan(self) -> "Manifest":
        """The same with nothing done yet."""
        return replace(self, splits={k: tuple(Shard(s.name, s.count) for s in v) for k, v in self.splits.items()})

    def shards(self) -> Iterator[tuple[str, int, Shard]]:
        """Each split's name, and the number and shard of each of its shards."""
        for split, shards in self.splits.items():
            for number, shard in enumerate(shards):
                yield split, number, shard

    def with_shard(self, split: str, number: int, shard: Shard) -> "Manifest":
        """The same but for one shard."""
        shards = list(self.splits[split])
        shards[number] = shard
        return replace(self, splits={**self.splits, split: tuple(shards)})

    def write(self, folder: Path) -> None:
        """Writes it into the conversion's folder, whole or not at all."""
        stored = {"format": _FORMAT, **asdict(self)}
        write_text(folder / NAME, json.dumps(stored, indent=1) + "\n")  # ASCII: names need not be valid UTF-8.


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a conversion.

    Raises:
        UserError: if there is none, or it is damaged or of a newer version.
    """
    path = folder / NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{folder} has no {NAME}: it is nothing that scripts/convert_to_mindrecord.py wrote; "
            "set --data.path to the folder that was its --output"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        stored = json.loads(text)
        if stored["format"] > _FORMAT:
            raise UserError(f"{path} was written by a newer version (format {stored['format']}); update this one")
        return _from_json(stored)
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); convert the images anew, with --overwrite") from error


def _from_json(stored: dict[str, Any]) -> Manifest:
    """Reads what ``Manifest.write`` stored, and lets no other types through, nor a path in place of a name."""
    ids, names = (tuple(map(_text, stored["classes"][key])) for key in ("ids", "names"))
    if len(ids) != len(names) or len(ids) < 2:
        raise ValueError(f"{len(ids)} classes with {len(names)} names")
    splits = {name: tuple(map(_shard, shards)) for name, shards in stored["splits"].items()}
    if not (set(splits) == {"all"} or set(splits) in ({"train"}, {"val"}, {"train", "val"})):
        raise ValueError(f"the splits {', '.join(splits) or 'of nothing'}")
    if not all(splits.values()):
        raise ValueError("a split without shards")
    return Manifest(Classes(ids, names), bool(stored["flip"]), _text(stored["fingerprint"]), splits)


def _shard(stored: dict[str, Any]) -> Shard:
    name, count = _text(stored["name"]), _number(stored["count"])
    if Path(name).name != name or count == 0:
        raise ValueError(f"the shard {name!r} of {count} images")
    facts = (
        stored[key] and FileChecksum(_number(stored[key]["num_bytes"]), _text(stored[key]["sha256"]))
        for key in ("data", "index")
    )
    return Shard(name, count, *facts)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value
