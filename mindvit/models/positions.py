"""Position tables that are not learned."""

import math

import mindspore as ms
from mindspore import Tensor


def sincos_2d(grid_size: int, embed_dim: int, leading: int = 0, temperature: float = 10000.0) -> Tensor:
    """Fixed sines and cosines of row and column (Chen et al., 2021, "MoCo v3"; Beyer et al., 2022, "plain ViT").

    With ``q = embed_dim / 4`` frequencies ``w_k = temperature^(-k / (q - 1))`` the row of a patch at column x and row y
    is ``[sin(x w), cos(x w), sin(y w), cos(y w)]``.

    Args:
        grid_size: patches along a side.
        embed_dim: width of a token, divisible by 4.
        leading: rows of zeros before the patches', for tokens that have no place.
        temperature: the ratio of the greatest frequency to the least.

    Returns:
        float32, (1, leading + grid_size * grid_size, embed_dim), patches row by row.
    """
    count = embed_dim // 4
    frequencies = [temperature ** -(k / max(count - 1, 1)) for k in range(count)]
    of_place = [
        [function(place * frequency) for function in (math.sin, math.cos) for frequency in frequencies]
        for place in range(grid_size)
    ]
    rows = [of_place[x] + of_place[y] for y in range(grid_size) for x in range(grid_size)]
    return Tensor([[[0.0] * embed_dim] * leading + rows], ms.float32)
