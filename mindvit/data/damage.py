"""Naming the picture that broke a pipeline."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mindspore.dataset import vision

from mindvit.data.split import Split
from mindvit.errors import UserError

# MindSpore leaves a copy of a picture that it could not decode in the working folder, under this name.
_LEFT_BEHIND = Path("abnormal_image.jpg")


@contextmanager
def naming_damaged_pictures(*splits: Split) -> Iterator[None]:
    """Turns the error of a pipeline over ``splits`` into one that names the picture at fault.

    A pipeline's own error does not say which picture it was at. The splits remember which were read last, and those
    are tried one by one. An error that no picture explains passes through unchanged.

    Raises:
        UserError: naming the picture.
    """
    was_there = _LEFT_BEHIND.exists()
    try:
        yield
    except RuntimeError as error:
        damaged = next((found for split in splits if (found := _find_damaged(split))), None)
        if not was_there:
            _LEFT_BEHIND.unlink(missing_ok=True)
        if damaged is None:
            raise
        raise UserError(damaged) from error


def _find_damaged(split: Split) -> str | None:
    for index in dict.fromkeys(reversed(split.recent)):
        try:
            picture = split.read(index)
            if split.encoded:
                vision.Decode()(picture)
        except UserError as error:
            return str(error)
        except (RuntimeError, ValueError):
            return f"{split.describe(index)} is damaged: it cannot be decoded; repair or remove it"
    return None
