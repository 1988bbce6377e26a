"""Image folders with one sub-folder per class."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from mindvit.classes import Classes
from mindvit.data.images import EXTENSIONS, read_image
from mindvit.data.split import Source, Split
from mindvit.errors import UserError


def open_folder(path: Path) -> Source:
    """Opens ``path/{train,val}/<class>/<image>``, or ``path/<class>/<image>`` as both training and val split.

    A path without ``train`` and ``val`` is a single split. A run that trains on it has no val split.

    Raises:
        UserError: for a missing path, fewer than two classes, an empty class, or different classes in train and val.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(
            f"the data folder {path} does not exist; set --data.path to a folder with one sub-folder per class"
        )
    source = read_source(path)
    if source.train and source.val:
        _check_same_classes(source.train, source.val)
    return source


def read_source(path: Path, known: Classes | None = None) -> Source:
    """Reads the splits ``path/train`` and ``path/val``; if both are missing, ``path`` itself is both splits.

    Arguments and errors are those of ``read_split``.
    """
    splits = {name: read_split(path / name, known) for name in ("train", "val") if (path / name).is_dir()}
    if not splits:
        splits = dict.fromkeys(("train", "val"), read_split(path, known))
    return Source(train=splits.get("train"), val=splits.get("val"))


def read_split(path: Path, known: Classes | None = None, flip: bool = True) -> Split:
    """Lists the images in the folder of a split. Hidden files and files with other extensions are ignored.

    Args:
        path: folder with one sub-folder per class.
        known: allowed classes; by default each sub-folder is a class, in sorted order.
        flip: whether a horizontal flip keeps the class of an image.

    Raises:
        UserError: for fewer than two class folders, an empty class, or a folder that is not a known class.
    """
    folders = sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        raise UserError(f"{path} has no class folders; create one folder of images per class")
    if known is None and len(folders) == 1:
        raise UserError(f"{path} has only one class folder, {folders[0]!r}; training needs at least two classes")
    classes = known or Classes.named(tuple(folders))
    label_of = {name: label for label, name in enumerate(classes.ids)}
    unknown = [name for name in folders if name not in label_of]
    if unknown:
        raise UserError(f"{path} has folders that are not a known class: {', '.join(unknown[:5])}")

    files: list[str] = []
    labels: list[int] = []
    for name in folders:
        images = sorted(
            entry.name
            for entry in os.scandir(path / name)
            if Path(entry.name).suffix.lower() in EXTENSIONS and not entry.name.startswith(".")
        )
        if not images:
            raise UserError(f"the class folder {path / name} holds no images; add some or remove the folder")
        files += [f"{name}/{image}" for image in images]
        labels += [label_of[name]] * len(images)

    def describe(index: int) -> str:
        return str(path / files[index])

    def read(index: int) -> Image.Image:
        return read_image(path / files[index])

    return Split(str(path), classes, np.array(labels, np.int32), read, describe, flip=flip)


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
        and file.is_file()
    )
    if not files:
        raise UserError(f"{path} has no images; supported extensions are {', '.join(sorted(EXTENSIONS))}")
    labels = np.zeros(len(files), np.int32)
    return Split(str(path), Classes.named(("",)), labels, lambda i: read_image(files[i]), lambda i: str(files[i]))


def _check_same_classes(train: Split, val: Split) -> None:
    only_train = sorted(set(train.classes.ids) - set(val.classes.ids))
    only_val = sorted(set(val.classes.ids) - set(train.classes.ids))
    if only_train or only_val:
        differences = [
            f"only in {split.origin}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
            for split, names in ((train, only_train), (val, only_val))
            if names
        ]
        raise UserError(f"train and val have different classes ({'; '.join(differences)})")
