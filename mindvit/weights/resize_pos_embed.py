"""Resizes learned position embeddings to another grid of patches."""

from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

Method = Literal["bicubic", "bilinear"]


def resize_pos_embed(table: np.ndarray, old: tuple[int, int], new: tuple[int, int], method: Method) -> np.ndarray:
    """Resizes a table of position embeddings to another grid of patches.

    Args:
        table: (1, prefix + rows * columns, width); the first rows, those of the prefix tokens, stay unchanged.
        old: rows and columns of patches of the table.
        new: rows and columns of patches of the result.
        method: see ``resize_grid``.

    Returns:
        (1, prefix + new rows * new columns, width).
    """
    prefix = table.shape[1] - old[0] * old[1]
    grid = table[0, prefix:].reshape(*old, -1)
    resized = resize_grid(grid, new, method).reshape(1, new[0] * new[1], -1)
    return np.concatenate([table[:, :prefix], resized], axis=1)


def resize_grid(grid: np.ndarray, new: tuple[int, int], method: Method) -> np.ndarray:
    """Resizes a grid of vectors, (rows, columns, width).

    - ``bicubic``: Pillow's filter (a = -0.5), antialiased if the grid shrinks; as timm resizes state dicts.
    - ``bilinear``: ``scipy.ndimage.zoom`` of order 1 with aligned corners; as Google's ViT code does.
    """
    rows, columns, width = grid.shape
    if (rows, columns) == new:
        return grid
    if method == "bilinear":
        return ndimage.zoom(grid, (new[0] / rows, new[1] / columns, 1), order=1)
    channels = [Image.fromarray(np.ascontiguousarray(grid[:, :, channel], np.float32)) for channel in range(width)]
    size = (new[1], new[0])
    return np.stack([np.asarray(channel.resize(size, Image.Resampling.BICUBIC)) for channel in channels], axis=-1)
