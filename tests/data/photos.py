"""Synthetic images that resemble photos: smooth gradients, texture, noise, edges and fine stripes, of odd sizes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

REFERENCE = Path(__file__).parent.parent / "references/eval_pixels.npz"
"""Pixels of the evaluation transforms of other libraries; tests/references/make_eval_pixels.py makes it."""

# Width and height. Some are smaller than the crop, some are panoramas.
SIZES = [
    (500, 333),
    (333, 500),
    (375, 501),
    (501, 375),
    (225, 223),
    (223, 225),
    (224, 224),
    (256, 256),
    (257, 255),
    (449, 300),
    (299, 451),
    (640, 97),
    (97, 640),
    (1001, 251),
    (83, 1021),
    (100, 75),
    (31, 47),
    (7, 5),
    (1, 1),
    (803, 601),
]


@dataclass(frozen=True)
class Case:
    """A transform of another library."""

    peer: str
    """The library, and which of its transforms."""
    shape: tuple[int, int] = (224, 224)
    crop_pct: float = 1.0
    interpolation: str = "bilinear"

    @property
    def resize(self) -> str:
        """The setting of this project for the library."""
        return "squash" if self.peer in ("timm squash", "Transformers ViT", "Transformers DeiT") else "timm"

    @property
    def name(self) -> str:
        """Name of the array in the file."""
        return f"{self.peer} {self.shape[0]}x{self.shape[1]} {self.interpolation} {self.crop_pct:g}"


CASES = [
    *(
        Case("timm", (224, 224), crop_pct, interpolation)
        for interpolation in ("nearest", "bilinear", "bicubic")
        for crop_pct in (0.875, 0.9, 0.95, 1.0)
    ),
    Case("timm", (384, 384), 0.9, "bicubic"),
    Case("timm", (160, 288), 0.9),
    Case("timm", (99, 67), 0.875, "bicubic"),
    Case("timm squash", (224, 224), 0.9, "bicubic"),
    Case("timm squash", (96, 160), 0.875),
    Case("torchvision", (224, 224), 0.875),
    Case("torchvision", (384, 384), 1.0, "bicubic"),
    Case("Transformers ViT"),
    Case("Transformers DeiT", (224, 224), 0.875, "bicubic"),
]


def photo(width: int, height: int, seed: int) -> Image.Image:
    """An RGB image. It is computed with whole numbers, so that it is the same on every machine."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    across, down = 255 * x // max(width - 1, 1), 255 * y // max(height - 1, 1)
    gradient = np.stack([across, down, (510 - across - down) // 2], axis=-1)
    patches = rng.integers(0, 256, (-(-height // 24), -(-width // 24), 3))
    texture = patches.repeat(24, axis=0).repeat(24, axis=1)[:height, :width]
    values = (gradient + texture) // 2 + rng.integers(-30, 31, (height, width, 3))
    stripes = (x + 2 * y) // 3 % 2 == 0
    center, radius = rng.integers(0, [height, width]), max(min(height, width) // 4, 1)
    disc = (y - center[0]) ** 2 + (x - center[1]) ** 2 < radius**2
    values[disc & stripes] = rng.integers(0, 256, 3)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def photos() -> list[Image.Image]:
    """The images of ``SIZES``."""
    return [photo(*size, seed) for seed, size in enumerate(SIZES)]


def summary(pixels: np.ndarray) -> np.ndarray:
    """What the file has of a result, uint8 (height, width, 3): a grid of its pixels, borders included, and means.

    Returns:
        float16 (11, 11, 3): 10 x 10 pixels; the last row has the means of 10 bands of rows, the last column those of 10
        bands of columns, and the corner the mean of all pixels.
    """
    rows, columns = (np.linspace(0, side - 1, 10).round().astype(int) for side in pixels.shape[:2])
    result = np.zeros((11, 11, 3), np.float16)
    result[:10, :10] = pixels[rows][:, columns]
    result[10, :10] = [band.mean((0, 1)) for band in np.array_split(pixels, 10, axis=0)]
    result[:10, 10] = [band.mean((0, 1)) for band in np.array_split(pixels, 10, axis=1)]
    result[10, 10] = pixels.mean((0, 1))
    return result
