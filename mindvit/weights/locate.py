"""Finds a checkpoint by path or by name."""

from pathlib import Path

from mindvit.download.published import TUTORIAL_WEIGHTS, download_file
from mindvit.errors import UserError
from mindvit.printable import printable
from mindvit.weights.checkpoint import read_checkpoint

FOLDER = Path("ckpt")
_PUBLISHED = {"vit_b_16_224.ckpt": TUTORIAL_WEIGHTS}


def find_checkpoint(path: str, download: bool = False) -> Path:
    """Returns the path if it is a file, else the file of that name in ``ckpt/``.

    Args:
        path: a path, or the name of a file in ``ckpt/``.
        download: whether to download a published file to ``ckpt/`` if it is in neither place.

    Raises:
        UserError: if there is no such file, and the message says how to get it; or if its folder cannot be read.
    """
    given, in_folder = Path(path), FOLDER / Path(path).name
    try:
        for candidate in (given, in_folder):
            if candidate.is_file():
                return candidate
    except OSError as error:  # Such as a folder without permission, or a name that is too long.
        raise UserError(f"cannot look for the checkpoint {printable(path, 200)}: {error.strerror}") from error
    published = _PUBLISHED.get(given.name)
    if published and download:
        download_file(published, in_folder, read_checkpoint)
        return in_folder
    if given.is_dir():
        raise UserError(f"{given} is a folder; name a checkpoint file in it")
    missing = f"there is no checkpoint {path} or {in_folder}"
    if published:
        raise UserError(
            f"{missing}; download it ({published.size}) with --download true, "
            f"or download {published.url} yourself and put it at {in_folder}"
        )
    raise UserError(f"{missing}; train one with train.py, or copy it there")
