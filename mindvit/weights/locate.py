"""Finds a checkpoint by path or by name."""

from pathlib import Path

from mindvit.download import TUTORIAL_WEIGHTS, download_file
from mindvit.errors import UserError
from mindvit.weights.checkpoint import read_checkpoint

FOLDER = Path("ckpt")
_PUBLISHED = {"vit_b_16_224.ckpt": TUTORIAL_WEIGHTS}


def find_checkpoint(path: str, download: bool = False) -> Path:
    """Returns the path if it is a file, else the file of that name in ``ckpt/``.

    Args:
        path: a path, or the name of a file in ``ckpt/``.
        download: whether to download a published file to ``ckpt/`` if it is in neither place.

    Raises:
        UserError: if there is no such file; the message says how to get it.
    """
    given, in_folder = Path(path), FOLDER / Path(path).name
    for candidate in (given, in_folder):
        if candidate.is_file():
            return candidate
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
