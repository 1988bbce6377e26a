"""Learned positions for another grid of patches."""

from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

Method = Literal["bicubic", "bilinear"]


def resize_pos_embed(table: np.ndarray, old: tuple[int, int], new: tuple[int, int], method: Method) -> np.ndarray:
    """A table of positions at another grid.

    Args:
        table: (1, placed + rows * columns, width); the rows of tokens that belong to no patch, which stand first, stay.
        old: rows and columns of patches that the table is for.
        new: those that it shall be for.
        method: see ``resize_grid``.

    Returns:
        (1, placed + new rows * new columns, width).
    """
    placed = table.shape[1] - old[0] * old[1]
    grid = table[0, placed:].reshape(*old, -1)
    resized = resize_grid(grid, new, method).reshape(1, new[0] * new[1], -1)
    return np.concatenate([table[:, :placed], resized], axis=1)


def resize_grid(grid: np.ndarray, new: tuple[int, int], method: Method) -> np.ndarray:
    """A grid of vectors, (rows, columns, width), at another size.

    - ``bicubic``: Pillow's filter (a = -0.5), antialiased where the grid shrinks; as timm resizes state dicts.
    - ``bilinear``: ``scipy.ndimage.zoom`` of order 1, corners kept on corners; as Google's ViT code does.
    """
    rows, columns, width = grid.shape
    if (rows, columns) == new:
        return grid
    if method == "bilinear":
        return ndimage.zoom(grid, (new[0] / rows, new[1] / columns, 1), order=1)
    channels = [Image.fromarray(np.ascontiguousarray(grid[:, :, channel], np.float32)) for channel in range(width)]
    size = (new[1], new[0])
    return np.stack([np.asarray(channel.resize(size, Image.Resampling.BICUBIC)) for channel in channels], axis=-1)
