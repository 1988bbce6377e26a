"""Conversion of image files to MindRecord shards."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from mindvit.data.mindrecord.listing import MAX_SHARDS, Listing, list_source
from mindvit.data.mindrecord.manifest import (
    DATA_SUFFIX,
    INDEX_SUFFIX,
    MANIFEST_NAME,
    SPLITS,
    Manifest,
    Shard,
    read_manifest,
)
from mindvit.data.mindrecord.processes import Task, write_shards
from mindvit.data.mindrecord.verification import verify
from mindvit.data.settings import CORES, check_hold_out
from mindvit.data.sources import open_source
from mindvit.errors import UserError
from mindvit.files import make_folder, remove_leftovers


@dataclass(frozen=True)
class MindRecordSettings:
    """Settings of a conversion of image files to MindRecord, or of its verification."""

    output: str | None = None
    """Output folder. An interrupted conversion in it is resumed."""
    source: Literal["folder", "imagenet", "digits"] = "folder"
    """Kind of data source, as data.source of train.py."""
    path: str | None = None
    """Folder of the source, as data.path of train.py."""
    labels: str | None = None
    """CSV file with the labels of the images, as data.labels of train.py."""
    val_fraction: float | None = None
    """Fraction of the images to hold out as shards of their own, as data.val_fraction of train.py."""
    split_seed: int = 0
    """Seed of the choice of these images, as data.split_seed of train.py."""
    shards: int | None = None
    """Number of shards per split. null gives shards of about 1 GiB."""
    num_workers: int = min(8, CORES)
    """Number of shards that are written or verified in parallel."""
    verify: str | None = None
    """Folder of a finished conversion, whose checksums are verified. Nothing is converted."""

    def __post_init__(self) -> None:
        if (self.output is None) == (self.verify is None):
            raise ValueError("set either --output, the folder to write, or --verify, the conversion to check")
        check_hold_out(self.val_fraction, self.split_seed, group="")
        if self.shards is not None and not 1 <= self.shards <= MAX_SHARDS:
            raise ValueError(f"shards must lie between 1 and {MAX_SHARDS}, not {self.shards}")
        if self.num_workers < 1:
            raise ValueError(f"num_workers must be at least 1, not {self.num_workers}")


def convert_to_mindrecord(settings: MindRecordSettings, download: bool = False, overwrite: bool = False) -> None:
    """Converts a source, or verifies a conversion, and prints a summary.

    Args:
        settings: settings of the conversion.
        download: whether to download missing data, if they are published.
        overwrite: whether to replace another conversion in the output folder.

    Raises:
        UserError: for an error in the settings or the source, an image file that is empty or cannot be read, an output
            folder with other content, a full disk, a dead process, or a shard whose content differs when it is read
            back. A verification raises it for corrupt shards, with their names.
        KeyboardInterrupt: after Ctrl-C, with a message on how to resume.
    """
    if settings.verify is not None:
        folder = Path(settings.verify)
        print(_summary(folder, verify(folder, settings.num_workers), "verified"))
        return
    chosen = (settings.labels, settings.val_fraction, settings.split_seed)
    listing = list_source(open_source(settings.source, settings.path, download, *chosen))
    folder = Path(settings.output)
    manifest = _prepare_output(folder, listing.plan(settings.shards), overwrite)
    print(_summary(folder, _write_pending(folder, listing, manifest, settings.num_workers), "written and read back"))
    print(f"{'use':<8} python train.py --data.source mindrecord --data.path {folder}")


def _prepare_output(folder: Path, plan: Manifest, overwrite: bool) -> Manifest:
    """Returns the manifest of the conversion in the folder; a new conversion writes its manifest first."""
    make_folder(folder)
    remove_leftovers(folder)
    if not any(folder.iterdir()):
        plan.write(folder)
        return plan
    if not (folder / MANIFEST_NAME).exists():
        raise UserError(f"--output {folder} has other files and no conversion; choose an empty or a new folder")
    if overwrite:
        plan.write(folder)
        return plan
    manifest = read_manifest(folder)
    if manifest.plan != plan:
        raise UserError(
            f"--output {folder} has a conversion of other images, or with another number of shards; "
            "choose another folder, or replace the conversion with --overwrite"
        )
    return manifest


def _write_pending(folder: Path, listing: Listing, manifest: Manifest, num_workers: int) -> Manifest:
    for split in manifest.splits:
        remove_leftovers(make_folder(folder / split))
    _remove_stale_shards(folder, manifest)
    tasks = []
    for split, index, images in listing.shard_files(manifest):
        shard = manifest.splits[split][index]
        if not shard.is_done or shard.find_error(folder / split):
            tasks.append(Task(split, index, folder / split, shard, images))
    total = sum(map(len, listing.splits.values()))
    pending = sum(len(task.images) for task in tasks)

    def on_done(task: Task, shard: Shard) -> None:
        nonlocal manifest
        manifest = manifest.with_shard(task.split, task.index, shard)
        manifest.write(folder)

    with tqdm(total=total, initial=total - pending, unit="image", desc="converting", leave=False) as bar:
        try:
            write_shards(tasks, max(1, min(num_workers, len(tasks))), bar.update, on_done)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                "stopped; run the same command again to resume with the unfinished shards"
            ) from None
    return manifest


def _remove_stale_shards(folder: Path, manifest: Manifest) -> None:
    """Removes the shards of an overwritten conversion."""
    suffixes = (DATA_SUFFIX, INDEX_SUFFIX)
    current = {folder / split / (shard.name + suffix) for split, _, shard in manifest.shards() for suffix in suffixes}
    for split in SPLITS:
        for suffix in suffixes:
            for path in set((folder / split).glob(f"*{suffix}")) - current:
                path.unlink()


def _summary(folder: Path, manifest: Manifest, status: str) -> str:
    rows = {}
    for split, shards in manifest.splits.items():
        num_bytes = sum(checksum.num_bytes for shard in shards for checksum in shard.files(folder).values())
        count = sum(shard.count for shard in shards)
        in_shards = "1 shard" if len(shards) == 1 else f"{len(shards):,} shards"
        rows[split] = f"{count:,} images of {len(manifest.classes):,} classes in {in_shards}, "
        rows[split] += f"{num_bytes / 1e6:,.1f} MB, {status}"
    rows["output"] = str(folder)
    return "\n".join(f"{key:<8} {value}" for key, value in rows.items())
