"""Position embeddings: fixed and learned tables, and relative position bias."""

import math

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Normal, initializer

from mindvit.ops.weight import Weight


def sincos_2d(grid: tuple[int, int], embed_dim: int, temperature: float = 10000.0) -> Tensor:
    """Fixed 2D sine-cosine position embedding (Chen et al., 2021, "MoCo v3"; Beyer et al., 2022, "plain ViT").

    There are ``q = embed_dim / 4`` frequencies ``w_k = temperature^(-k / (q - 1))``. The embedding of a patch at column
    x and row y is ``[sin(x w), cos(x w), sin(y w), cos(y w)]``.

    Args:
        grid: rows and columns of patches.
        embed_dim: embedding dimension, divisible by 4.
        temperature: ratio of the highest to the lowest frequency.

    Returns:
        float32, (1, patches, embed_dim), patches row by row.
    """
    count = embed_dim // 4
    frequencies = [temperature ** -(k / max(count - 1, 1)) for k in range(count)]
    embedding_1d = [
        [function(position * frequency) for function in (math.sin, math.cos) for frequency in frequencies]
        for position in range(max(grid))
    ]
    rows = [embedding_1d[x] + embedding_1d[y] for y in range(grid[0]) for x in range(grid[1])]
    return Tensor([rows], ms.float32)


def join_rows_and_columns(row_table: Tensor, column_table: Tensor) -> Tensor:
    """Combines learned embeddings of rows and columns into one table (Dosovitskiy et al., 2021, appendix D.4).

    The embedding of a patch at column x and row y is ``[column_table[x], row_table[y]]``.

    Args:
        row_table: (1, rows, embed_dim / 2).
        column_table: (1, columns, embed_dim / 2).

    Returns:
        (1, rows * columns, embed_dim), patches row by row.
    """
    rows, columns, half = row_table.shape[1], column_table.shape[1], row_table.shape[2]
    column_part = ops.tile(column_table.reshape(1, 1, columns, half), (1, rows, 1, 1))
    row_part = ops.tile(row_table.reshape(1, rows, 1, half), (1, 1, columns, 1))
    return ops.concat((column_part, row_part), 3).reshape(1, rows * columns, 2 * half)


class RelativeBias(nn.Cell):
    """Relative position bias: a learned bias of the attention score per head and per offset between two patches.

    The ``table`` of a head has a row for each row offset, ``query - key + rows - 1``, and a column for each column
    offset (as in Swin: Liu et al., 2021, eq. 4).

    Args:
        grid: rows and columns of patches.
        num_heads: number of heads.
        prefix_tokens: number of tokens before the patches; pairs with a prefix token have no bias.

    Output: float32 (1, num_heads, tokens, tokens), one row per query.
    """

    def __init__(self, grid: tuple[int, int], num_heads: int, prefix_tokens: int = 0) -> None:
        super().__init__()
        rows, columns = grid
        shape = (num_heads, 2 * rows - 1, 2 * columns - 1)
        self.table = Parameter(initializer(Normal(sigma=0.02), shape, ms.float32), name="table")
        self.read_table = Weight()
        self.num_heads = num_heads
        self.num_patches = rows * columns
        self.padding = (prefix_tokens, 0, prefix_tokens, 0)
        patches = [(y, x) for y in range(rows) for x in range(columns)]
        width = 2 * columns - 1
        indices = [(qy - ky + rows - 1) * width + qx - kx + columns - 1 for qy, qx in patches for ky, kx in patches]
        self.indices = Tensor(indices, ms.int32)

    def values(self):
        """The table, (num_heads, 2 rows - 1, 2 columns - 1)."""
        return self.read_table(self.table)

    def construct(self):
        bias = ops.gather(self.values().reshape(self.num_heads, -1), self.indices, 1)
        return ops.pad(bias.reshape(1, self.num_heads, self.num_patches, self.num_patches), self.padding)
