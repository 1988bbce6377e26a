"""CIFAR-10 and CIFAR-100 in their binary version (Krizhevsky, 2009)."""

from pathlib import Path

import numpy as np
from PIL import Image

from mindvit.classes import Classes
from mindvit.data.split import Source, Split
from mindvit.errors import UserError

_PIXELS = 3 * 32 * 32
# Files of train and val, label bytes before the pixels of a record (the last is the class), file of class names.
_CIFAR10 = ([f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"], 1, "batches.meta.txt")
_CIFAR100 = (["train.bin"], ["test.bin"], 2, "fine_label_names.txt")


def open_cifar10(path: Path) -> Source:
    """Opens the unpacked binary version of CIFAR-10; the test images are the val split."""
    return _open(Path(path), *_CIFAR10, folder="cifar-10-batches-bin")


def open_cifar100(path: Path) -> Source:
    """Opens the unpacked binary version of CIFAR-100 with its 100 fine classes; the test images are the val split."""
    return _open(Path(path), *_CIFAR100, folder="cifar-100-binary")


def _open(path: Path, train: list[str], test: list[str], label_bytes: int, names_file: str, folder: str) -> Source:
    root = path / folder if (path / folder).is_dir() else path
    missing = [name for name in (*train, *test, names_file) if not (root / name).is_file()]
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)}; set --data.path to the unpacked binary version, the folder {folder}"
        )
    try:
        classes = Classes.named(tuple((root / names_file).read_text(encoding="utf-8").split()))
    except ValueError as error:
        raise UserError(f"{root / names_file} is corrupt ({error}); unpack the archive of CIFAR again") from error
    return Source(
        train=_read(root, train, label_bytes, classes),
        val=_read(root, test, label_bytes, classes),
    )


def _read(root: Path, files: list[str], label_bytes: int, classes: Classes) -> Split:
    parts = []
    for name in files:
        data = np.fromfile(root / name, np.uint8)
        if not data.size or data.size % (label_bytes + _PIXELS):
            raise UserError(f"{root / name} is corrupt: its {data.size} bytes are not a whole number of records")
        parts.append(data.reshape(-1, label_bytes + _PIXELS))
    records = np.concatenate(parts)
    labels = records[:, label_bytes - 1].astype(np.int32)
    if labels.max() >= len(classes):
        raise UserError(f"{root} is corrupt: it has the label {labels.max()} but only {len(classes)} class names")

    def read(index: int) -> Image.Image:
        return Image.fromarray(records[index, label_bytes:].reshape(3, 32, 32).transpose(1, 2, 0))

    def describe(index: int) -> str:
        return f"record {index} of {root}"

    return Split(str(root), classes, labels, read, describe)
