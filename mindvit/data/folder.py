"""Image folders with one sub-folder per class."""

import os
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from mindvit.classes import Classes
from mindvit.data.images import EXTENSIONS, ScaleChoice, read_image
from mindvit.data.split import Source, Split
from mindvit.errors import UserError
from mindvit.printable import first_names, printable

_SHOWN = 5
"""Names in a message."""
_SPELLINGS = {"train": {"train", "training"}, "val": {"val", "valid", "validation", "dev"}}
"""What the folders of the splits are called elsewhere, in lower case."""


def open_folder(path: Path) -> Source:
    """Opens ``path/{train,val,test}/<class>/<image>``, or ``path/<class>/<image>`` as both training and val split.

    A path without ``train`` and ``val`` is a single split. A run that trains on it has no val split, unless
    ``hold_out`` makes one. The classes are those of train; val and test may lack some of them. A folder ``test`` that
    has other folders than these classes is not read.

    Raises:
        UserError: for a missing path, fewer than two classes, an empty class, or classes of val that train lacks.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(
            f"the data folder {path} does not exist; set --data.path to a folder with one sub-folder per class"
        )
    source = read_source(path)
    if source.is_unsplit:
        return source
    if source.train and source.val:
        _check_classes_of_val(source.train, source.val)
        source = replace(source, val=source.val.relabel(source.train.classes))
    return replace(source, test=_read_test(path / "test", (source.train or source.val).classes))


def read_source(path: Path, known: Classes | None = None) -> Source:
    """Reads the splits ``path/train`` and ``path/val``; if both are missing, ``path`` itself is both splits.

    Arguments and errors are those of ``read_split``.
    """
    splits = {name: read_split(path / name, known) for name in ("train", "val") if (path / name).is_dir()}
    if not splits:
        splits = dict.fromkeys(("train", "val"), read_split(path, known))
    for name in {"train", "val"} - splits.keys():
        _note_other_spelling(path, name)
    return Source(train=splits.get("train"), val=splits.get("val"))


def read_split(path: Path, known: Classes | None = None, flip: bool = True) -> Split:
    """Lists the images in the folder of a split.

    Hidden files and folders, and files with other extensions, are ignored. A warning names hidden class folders, and
    counts what is ignored in the class folders.

    Args:
        path: folder with one sub-folder per class.
        known: allowed classes; by default each sub-folder is a class, in sorted order.
        flip: whether a horizontal flip keeps the class of an image.

    Raises:
        UserError: for fewer than two class folders, an empty class, or a folder that is not a known class.
    """
    folders = _class_folders(path)
    if not folders:
        raise UserError(
            f"{path} has no class folders; create one folder of images per class, or name a CSV file with the label of "
            "each image (data.labels)"
        )
    if known is None and len(folders) == 1:
        raise UserError(f"{path} has only one class folder, {folders[0]!r}; training needs at least two classes")
    classes = known or Classes.named(tuple(folders))
    label_of = {name: label for label, name in enumerate(classes.ids)}
    unknown = [name for name in folders if name not in label_of]
    if unknown:
        raise UserError(f"{path} has folders that are not a known class: {first_names(unknown)}")

    files: list[str] = []
    labels: list[int] = []
    ignored: Counter[str] = Counter()
    for name in folders:
        images = _images(path / name, ignored)
        files += [f"{name}/{image}" for image in images]
        labels += [label_of[name]] * len(images)
    if ignored:
        warnings.warn(f"{path}: ignored in the class folders: {_counted(ignored)}", stacklevel=2)

    def describe(index: int) -> str:
        return str(path / files[index])

    def read(index: int, choose_scale: ScaleChoice | None = None) -> Image.Image:
        return read_image(path / files[index], choose_scale=choose_scale)

    names = files.__getitem__
    return Split(str(path), classes, np.array(labels, np.int32), read, describe, flip, names, read_scaled=read)


def open_unlabelled(path: Path) -> Split:
    """All images in a folder and its sub-folders, sorted by path, as a split with a single unnamed class.

    Hidden files and folders, and files with other extensions, are ignored.

    Raises:
        UserError: if the folder is missing or has no images.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"the folder {path} does not exist")
    files = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in EXTENSIONS
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
        and not file.is_dir()
    )
    if not files:
        raise UserError(f"{path} has no images; supported extensions are {', '.join(sorted(EXTENSIONS))}")
    labels = np.zeros(len(files), np.int32)
    return Split(str(path), Classes.named(("",)), labels, lambda i: read_image(files[i]), lambda i: str(files[i]))


def _read_test(path: Path, classes: Classes) -> Split | None:
    """The test split; None if the folder has none of the classes, such as that of a competition, without labels."""
    if not any((path / name).is_dir() for name in classes.ids):
        return None
    try:
        return read_split(path, classes)
    except UserError as error:
        warnings.warn(f"{path} is not read as test split: {error}", stacklevel=3)
        return None


def _class_folders(path: Path) -> list[str]:
    """The names of the class folders, sorted. Warns of folders that look like others, or that are not read."""
    names = sorted(entry.name for entry in os.scandir(path) if entry.is_dir())
    folders = [name for name in names if not name.startswith(".")]
    hidden = [name for name in names if name.startswith(".") and _holds_images(path / name)]
    if hidden:
        warnings.warn(
            f"{path}: ignored the folders {first_names(hidden)}, with images, because their names begin with a dot",
            stacklevel=3,
        )
    spellings = Counter(name.casefold() for name in folders)
    alike = [name for name in folders if spellings[name.casefold()] > 1]
    if alike:
        warnings.warn(f"{path} has classes whose names differ in case only: {first_names(alike)}", stacklevel=3)
    return folders


def _images(folder: Path, ignored: Counter[str]) -> list[str]:
    """The names of the images in a class folder, sorted. Counts the other entries by kind."""
    images = []
    for entry in os.scandir(folder):
        if _is_image(entry):
            images.append(entry.name)
        elif kind := _kind(entry):
            ignored[kind] += 1
    if not images:
        has_folders = any(entry.is_dir() for entry in os.scandir(folder))
        hint = "; splits are named train and val, with one folder per class in each" if has_folders else ""
        raise UserError(f"the class folder {folder} holds no images; add some or remove the folder{hint}")
    return sorted(images)


def _holds_images(folder: Path) -> bool:
    with suppress(OSError), os.scandir(folder) as entries:
        return any(map(_is_image, entries))
    return False


def _is_image(entry: os.DirEntry) -> bool:
    _, dot, ending = entry.name.rpartition(".")
    return bool(dot) and f".{ending.lower()}" in EXTENSIONS and not entry.name.startswith(".")


def _kind(entry: os.DirEntry) -> str:
    """What an entry of a class folder is that is not read; empty for hidden entries that are no images."""
    if entry.name.startswith("."):
        return "hidden images" if Path(entry.name[1:]).suffix.lower() in EXTENSIONS else ""
    if entry.is_dir():
        return "sub-folders"
    return f"{Path(entry.name).suffix} files" if Path(entry.name).suffix else "files without an extension"


def _counted(ignored: Counter[str]) -> str:
    kinds = [f"{printable(kind)} ({count:,})" for kind, count in ignored.most_common(_SHOWN)]
    return ", ".join(kinds) + (", and others" if len(ignored) > _SHOWN else "")


def _note_other_spelling(path: Path, missing: str) -> None:
    """Warns if the folder of a split is missing, and there is one with a similar name, which is not read."""
    found = [entry.name for entry in os.scandir(path) if entry.name.casefold() in _SPELLINGS[missing]]
    if found:
        warnings.warn(
            f"{path} has no folder {missing}/, and {found[0]}/ is not read; rename it to {missing}", stacklevel=3
        )


def _check_classes_of_val(train: Split, val: Split) -> None:
    only_train = sorted(set(train.classes.ids) - set(val.classes.ids))
    only_val = sorted(set(val.classes.ids) - set(train.classes.ids))
    if only_val:
        differences = [
            f"only in {split.origin}: {first_names(names)}"
            for split, names in ((train, only_train), (val, only_val))
            if names
        ]
        raise UserError(f"train and val have different classes ({'; '.join(differences)})")
