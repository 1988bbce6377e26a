"""The 1,797 handwritten digits that scikit-learn ships, as a folder of images."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from mindvit.data.folder import read_split
from mindvit.data.split import Source
from mindvit.errors import UserError
from mindvit.files import make_folder

DEFAULT_PATH = Path("dataset/digits")
NUM_TRAIN, NUM_VAL = 1437, 360


def open_digits(path: Path) -> Source:
    """Opens the digits in ``path``, writing them there first where the folder does not exist.

    The images are 8 x 8 grey PNGs from the "Optical Recognition of Handwritten Digits" test set (Alpaydin & Kaynak,
    1998). The split is fixed and stratified: of the images in order of class, every fifth is held out.

    Raises:
        UserError: if the folder holds something else, or cannot be written.
    """
    path = Path(path)
    if not path.exists():
        _write(path)
    try:
        train, val = (read_split(path / name, flip=False) for name in ("train", "val"))
        whole = (len(train), len(val)) == (NUM_TRAIN, NUM_VAL)
    except (UserError, OSError):
        whole = False
    if not whole:
        raise UserError(f"{path} does not hold the digits as they were written; remove it to have them written again")
    return Source(train=train, val=val)


def _write(path: Path) -> None:
    from sklearn.datasets import load_digits  # Takes a second to import, and only the first run needs it.

    digits = load_digits()
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".digits-") as folder:
        parts = Path(folder) / "digits"
        for position, index in enumerate(np.argsort(digits.target, kind="stable")):
            split = "val" if position % 5 == 0 else "train"
            target = parts / split / str(digits.target[index]) / f"{index:04d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            values = (digits.images[index] * (255.0 / 16.0)).round().astype(np.uint8)
            Image.fromarray(values).save(target)
        shutil.move(parts, path)
