"""Finding a checkpoint by path or by name."""

from pathlib import Path

from mindvit.download import TUTORIAL_WEIGHTS, download_file
from mindvit.errors import UserError
from mindvit.weights.checkpoint import read_checkpoint

FOLDER = Path("ckpt")
_PUBLISHED = {"vit_b_16_224.ckpt": TUTORIAL_WEIGHTS}


def find_checkpoint(path: str, download: bool = False) -> Path:
    """Returns the path where it is a file, else the file of that name in ``ckpt/``.

    Args:
        path: a path, or the name of a file in ``ckpt/``.
        download: whether to fetch a published file that is in neither place, into ``ckpt/``.

    Raises:
        UserError: if it is nowhere, saying how to get it.
    """
    given, kept = Path(path), FOLDER / Path(path).name
    for candidate in (given, kept):
        if candidate.is_file():
            return candidate
    published = _PUBLISHED.get(given.name)
    if published and download:
        download_file(published, kept, read_checkpoint)
        return kept
    if given.is_dir():
        raise UserError(f"{given} is a folder; name a checkpoint file in it")
    nowhere = f"there is no checkpoint {path}, nor {kept}"
    if published:
        raise UserError(
            f"{nowhere}; fetch it ({published.size}) with --download true, "
            f"or from {published.url} by other means, and put it at {kept}"
        )
    raise UserError(f"{nowhere}; train one with train.py, or copy it there")
