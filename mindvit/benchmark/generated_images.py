"""Photo-like JPEG files, to measure input pipelines without a data set."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (500, 375)
"""Width and height in pixels: the most frequent size in ImageNet."""
COUNT = 256
"""Number of files."""
_CLASSES = 4
_OCTAVES = 7
_QUALITY = 90
_GRAIN = 0.22
"""Noise of single pixels. The octaves alone compress to a quarter of the size of a photo."""


def write_images(folder: Path) -> None:
    """Writes ``COUNT`` JPEG files of about 70 kB to ``folder/train/CLASS``: noise whose power falls with frequency.

    Args:
        folder: the folder.
    """
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        place = folder / "train" / f"class_{index % _CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_photo(rng)).save(place / f"{index}.jpg", quality=_QUALITY)


def _photo(rng: np.random.Generator) -> np.ndarray:
    """An image, uint8 (height, width, 3): octaves of smooth noise, each with half the amplitude of the one before."""
    width, height = SIZE
    values = np.zeros((height, width, 3), np.float32)
    for octave in range(_OCTAVES):
        cells = 2 ** (octave + 1)
        noise = rng.standard_normal((cells, cells, 3)).astype(np.float32)
        channels = [Image.fromarray(noise[..., channel]).resize(SIZE, Image.Resampling.BICUBIC) for channel in range(3)]
        values += np.stack(channels, -1) / 2**octave
    values += _GRAIN * rng.standard_normal(values.shape).astype(np.float32)
    return np.uint8(np.clip(128 + 55 * values, 0, 255))
