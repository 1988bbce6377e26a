"""What tells a token's place: tables, fixed or put together, and biases of the attention."""

import math

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Normal, initializer


def sincos_2d(grid: tuple[int, int], embed_dim: int, temperature: float = 10000.0) -> Tensor:
    """Fixed sines and cosines of row and column (Chen et al., 2021, "MoCo v3"; Beyer et al., 2022, "plain ViT").

    With ``q = embed_dim / 4`` frequencies ``w_k = temperature^(-k / (q - 1))`` the row of a patch at column x and row y
    is ``[sin(x w), cos(x w), sin(y w), cos(y w)]``.

    Args:
        grid: rows and columns of patches.
        embed_dim: width of a token, divisible by 4.
        temperature: the ratio of the greatest frequency to the least.

    Returns:
        float32, (1, patches, embed_dim), patches row by row.
    """
    count = embed_dim // 4
    frequencies = [temperature ** -(k / max(count - 1, 1)) for k in range(count)]
    of_place = [
        [function(place * frequency) for function in (math.sin, math.cos) for frequency in frequencies]
        for place in range(max(grid))
    ]
    rows = [of_place[x] + of_place[y] for y in range(grid[0]) for x in range(grid[1])]
    return Tensor([rows], ms.float32)


def join_rows_and_columns(row_table: Tensor, column_table: Tensor) -> Tensor:
    """One table from a learned table of columns and one of rows (Dosovitskiy et al., 2021, appendix D.4).

    The token of a patch at column x and row y gets ``[column_table[x], row_table[y]]``.

    Args:
        row_table: (1, rows, embed_dim / 2).
        column_table: (1, columns, embed_dim / 2).

    Returns:
        (1, rows * columns, embed_dim), patches row by row.
    """
    rows, columns, half = row_table.shape[1], column_table.shape[1], row_table.shape[2]
    of_columns = ops.tile(column_table.reshape(1, 1, columns, half), (1, rows, 1, 1))
    of_rows = ops.tile(row_table.reshape(1, rows, 1, half), (1, 1, columns, 1))
    return ops.concat((of_columns, of_rows), 3).reshape(1, rows * columns, 2 * half)


class RelativeBias(nn.Cell):
    """Learned biases of attention scores, one for each head and each relative place of two patches.

    The ``table`` of a head has a row for each difference of rows, ``query - key + rows - 1``, and a column for each
    difference of columns (as in Swin: Liu et al., 2021, eq. 4).

    Args:
        grid: rows and columns of patches.
        num_heads: number of heads.
        prefix_tokens: tokens before those of the patches; to and from them there is no bias.

    Output: float32 (1, num_heads, tokens, tokens), a row for each query.
    """

    def __init__(self, grid: tuple[int, int], num_heads: int, prefix_tokens: int = 0) -> None:
        super().__init__()
        rows, columns = grid
        shape = (num_heads, 2 * rows - 1, 2 * columns - 1)
        self.table = Parameter(initializer(Normal(sigma=0.02), shape, ms.float32), name="table")
        self.num_heads = num_heads
        self.num_patches = rows * columns
        self.padding = (prefix_tokens, 0, prefix_tokens, 0)
        patches = [(y, x) for y in range(rows) for x in range(columns)]
        width = 2 * columns - 1
        places = [(qy - ky + rows - 1) * width + qx - kx + columns - 1 for qy, qx in patches for ky, kx in patches]
        self.places = Tensor(places, ms.int32)

    def construct(self):
        bias = ops.gather(self.table.reshape(self.num_heads, -1), self.places, 1)
        return ops.pad(bias.reshape(1, self.num_heads, self.num_patches, self.num_patches), self.padding)
