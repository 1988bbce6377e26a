"""A source of image files in, MindRecord shards out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from mindvit.data.mindrecord.listing import MOST_SHARDS, Listing, list_source
from mindvit.data.mindrecord.manifest import ENDING, INDEX_ENDING, NAME, SPLITS, Manifest, Shard, read_manifest
from mindvit.data.mindrecord.processes import Task, write_shards
from mindvit.data.mindrecord.verification import verify
from mindvit.data.settings import CORES
from mindvit.data.sources import open_source
from mindvit.errors import UserError
from mindvit.files import make_folder, remove_leftovers


@dataclass(frozen=True)
class MindRecordSettings:
    """A conversion of image files to MindRecord, or its verification."""

    output: str | None = None
    """Folder to write; a conversion that was stopped there goes on."""
    source: Literal["folder", "imagenet", "digits"] = "folder"
    """Kind of data source, as data.source of train.py."""
    path: str | None = None
    """Folder of the source, as data.path of train.py."""
    shards: int | None = None
    """Shards of each split; by default as many as make about a GiB of images each."""
    num_workers: int = min(8, CORES)
    """Shards written, or verified, at a time: a process each."""
    verify: str | None = None
    """Folder of a finished conversion, whose files are held to their checksums; nothing is converted."""

    def __post_init__(self) -> None:
        if (self.output is None) == (self.verify is None):
            raise ValueError("set either --output, the folder to write, or --verify, a conversion to look through")
        if self.shards is not None and not 1 <= self.shards <= MOST_SHARDS:
            raise ValueError(f"shards must lie between 1 and {MOST_SHARDS}, not {self.shards}")
        if self.num_workers < 1:
            raise ValueError(f"num_workers must be at least 1, not {self.num_workers}")


def convert_to_mindrecord(settings: MindRecordSettings, download: bool = False, overwrite: bool = False) -> None:
    """Converts a source, or verifies a conversion, and prints what it came to.

    Args:
        settings: what, where to and how.
        download: whether to fetch what can be fetched where it is missing.
        overwrite: whether to write anew what another conversion left in the output folder.

    Raises:
        UserError: for a mistake in the settings or the source, an image file that is empty or cannot be read, an
            output folder that holds something else, a full disk, a process that died, a shard that cannot be read back
            as it was written; of a verification, naming the shards that are damaged.
        KeyboardInterrupt: after Ctrl-C, saying how to go on.
    """
    if settings.verify is not None:
        folder = Path(settings.verify)
        print(_summary(folder, verify(folder, settings.num_workers), "verified"))
        return
    listing = list_source(open_source(settings.source, settings.path, download))
    folder = Path(settings.output)
    manifest = _claim(folder, listing.plan(settings.shards), overwrite)
    print(_summary(folder, _write_missing(folder, listing, manifest, settings.num_workers), "written and read back"))
    print(f"{'use':<8} python train.py --data.source mindrecord --data.path {folder}")


def _claim(folder: Path, plan: Manifest, overwrite: bool) -> Manifest:
    """The manifest to go on from, which the folder holds from now on."""
    make_folder(folder)
    remove_leftovers(folder)
    if not any(folder.iterdir()):
        plan.write(folder)
        return plan
    if not (folder / NAME).exists():
        raise UserError(f"--output {folder} holds other files and no conversion; choose a folder that is empty or new")
    if overwrite:
        plan.write(folder)
        return plan
    manifest = read_manifest(folder)
    if manifest.plan != plan:
        raise UserError(
            f"--output {folder} holds a conversion of other images, or into other shards; choose another folder, "
            "or write it anew with --overwrite"
        )
    return manifest


def _write_missing(folder: Path, listing: Listing, manifest: Manifest, num_workers: int) -> Manifest:
    for split in manifest.splits:
        remove_leftovers(make_folder(folder / split))
    _remove_others(folder, manifest)
    tasks = []
    for split, number, images in listing.parts(manifest):
        shard = manifest.splits[split][number]
        if not shard.is_done or shard.fault(folder / split):
            tasks.append(Task(split, number, folder / split, shard, images))
    total = sum(map(len, listing.splits.values()))
    left = sum(len(task.images) for task in tasks)

    def finished(task: Task, shard: Shard) -> None:
        nonlocal manifest
        manifest = manifest.with_shard(task.split, task.number, shard)
        manifest.write(folder)

    with tqdm(total=total, initial=total - left, unit="image", desc="converting", leave=False) as bar:
        try:
            write_shards(tasks, max(1, min(num_workers, len(tasks))), bar.update, finished)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped; the same command goes on with the shards that are not finished") from None
    return manifest


def _remove_others(folder: Path, manifest: Manifest) -> None:
    """Removes the shards of a conversion that was overwritten."""
    own = {
        folder / split / (shard.name + end) for split, _, shard in manifest.shards() for end in (ENDING, INDEX_ENDING)
    }
    for split in SPLITS:
        for ending in (ENDING, INDEX_ENDING):
            for path in set((folder / split).glob(f"*{ending}")) - own:
                path.unlink()


def _summary(folder: Path, manifest: Manifest, done: str) -> str:
    rows = {}
    for split, shards in manifest.splits.items():
        num_bytes = sum(facts.num_bytes for shard in shards for facts in shard.files(folder).values())
        count = sum(shard.count for shard in shards)
        in_shards = "1 shard" if len(shards) == 1 else f"{len(shards):,} shards"
        rows[split] = f"{count:,} images of {len(manifest.classes):,} classes in {in_shards}, "
        rows[split] += f"{num_bytes / 1e6:,.1f} MB, {done}"
    rows["output"] = str(folder)
    return "\n".join(f"{key:<8} {value}" for key, value in rows.items())
