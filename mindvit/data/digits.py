"""The 1,797 handwritten digits of scikit-learn, as a folder of images."""

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
    """Opens the digits in ``path``. If the folder does not exist, the images are written there first.

    The images are 8 x 8 gray PNGs from the "Optical Recognition of Handwritten Digits" test set (Alpaydin & Kaynak,
    1998). The split is fixed and stratified: the images are sorted by class, and every fifth goes to val.

    Raises:
        UserError: if the folder has other content, or cannot be written.
    """
    path = Path(path)
    if not path.exists():
        _write(path)
    try:
        train, val = (read_split(path / name, flip=False) for name in ("train", "val"))
        complete = (len(train), len(val)) == (NUM_TRAIN, NUM_VAL)
    except (UserError, OSError):
        complete = False
    if not complete:
        raise UserError(
            f"{path} does not hold exactly the 1,797 digits; remove the folder and run again to recreate it"
        )
    return Source(train=train, val=val)


def _write(path: Path) -> None:
    from sklearn.datasets import load_digits  # The import takes a second, and only the first run needs it.

    digits = load_digits()
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".digits-") as folder:
        root = Path(folder) / "digits"
        for position, index in enumerate(np.argsort(digits.target, kind="stable")):
            split = "val" if position % 5 == 0 else "train"
            target = root / split / str(digits.target[index]) / f"{index:04d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            values = (digits.images[index] * (255.0 / 16.0)).round().astype(np.uint8)
            Image.fromarray(values).save(target)
        shutil.move(root, path)
