"""Position tables that are not learned."""

import numpy as np


def sincos_2d(grid_size: int, embed_dim: int, temperature: float = 10000.0) -> np.ndarray:
    """Fixed sines and cosines of row and column (Chen et al., 2021, "MoCo v3"; Beyer et al., 2022, "plain ViT").

    With ``q = embed_dim / 4`` frequencies ``w_k = temperature^(-k / (q - 1))`` the row of a patch at column x and row y
    is ``[sin(x w), cos(x w), sin(y w), cos(y w)]``.

    Returns:
        float32, (grid_size * grid_size, embed_dim), patches row by row.
    """
    y, x = np.divmod(np.arange(grid_size * grid_size), grid_size)
    count = embed_dim // 4
    frequencies = temperature ** -(np.arange(count) / max(count - 1, 1))
    angles = [np.outer(place, frequencies) for place in (x, y)]
    return np.concatenate([part(angle) for angle in angles for part in (np.sin, np.cos)], 1).astype(np.float32)
