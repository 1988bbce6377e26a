"""Attention of each patch to the patches around it alone."""

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvit.models.dropout import Dropout
from mindvit.models.softmax import Softmax

# Added to the scores that do not count. Finite, so that a row of nothing else has no NaN, and within float16.
_FAR = -30000.0


class LocalAttention(nn.Cell):
    """Attention limited to a window of patches (Parmar et al., 2018, "Image Transformer").

    A patch attends to the prefix tokens (class token, registers) and to the patches whose row and column are both at
    most ``(window_size - 1) / 2`` away; at the border of the grid the window is cut off, not shifted. Prefix tokens attend
    to all. This is full attention under ``local_attention_mask``. Small grids compute it so; large ones in blocks, with
    time and memory that grow linearly with the number of patches (``scripts/measure_local_attention.py``).

    Args:
        grid: rows and columns of patches.
        window_size: side of the window, in patches; odd.
        prefix_tokens: tokens before the patches.
        num_heads: number of heads.
        attention_dropout: probability of dropping an attention weight.

    Inputs: query (scaled already), keys and value, (batch, num_heads, prefix_tokens + rows * columns, head_dim),
    patches row by row; bias, None or (num_heads, 2 rows - 1, 2 columns - 1), added to the score of patch i for patch j
    at [:, row_i - row_j + rows - 1, column_i - column_j + columns - 1]; rng_key, int32 (batch,) or None, of which the
    dropout is a function. Output: as value.

    Raises:
        ValueError: if the window is even or less than 1.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        window_size: int,
        prefix_tokens: int,
        num_heads: int,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.grid, self.halo, self.prefix = grid, _halo(grid, window_size), prefix_tokens
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.softmax = Softmax()
        block = block_size(grid, window_size, prefix_tokens)
        if block is None:
            self.attend = MaskedLocalAttention(grid, window_size, prefix_tokens, num_heads, attention_dropout)
        else:
            self.attend = BlockedLocalAttention(grid, window_size, prefix_tokens, num_heads, block, attention_dropout)

    def construct(self, query, key, value, bias=None, rng_key=None):
        return self.attend(query, key, value, bias, rng_key)

    def weights(self, query, key, bias=None):
        """The attention weights of all pairs, 0 beyond the windows: (batch, num_heads, tokens, tokens).

        For looking at, in whatever way they are computed else: they need tokens^2 numbers a head.
        """
        (rows, columns), (down, across), prefix = self.grid, self.halo, self.prefix
        place = ops.arange(rows * columns).astype(ms.int32)
        row = place // columns
        column = place - row * columns
        rows_apart = ops.expand_dims(row, 1) - ops.expand_dims(row, 0)
        columns_apart = ops.expand_dims(column, 1) - ops.expand_dims(column, 0)
        is_far = ops.logical_or(ops.abs(rows_apart) > down, ops.abs(columns_apart) > across)
        mask = ops.expand_dims(is_far.astype(query.dtype) * _FAR, 0)
        if bias is not None:
            places = (rows_apart + rows - 1) * (2 * columns - 1) + columns_apart + columns - 1
            mask = mask + _of_pairs(bias, places.reshape(-1)).reshape(-1, *mask.shape[1:]).astype(query.dtype)
        mask = ops.pad(ops.expand_dims(mask, 0), (prefix, 0, prefix, 0))
        return self.softmax(self.scores(query, key) + mask)


class MaskedLocalAttention(nn.Cell):
    """``LocalAttention`` as full attention with a mask: the least work on small grids.

    Arguments, inputs and output: those of ``LocalAttention``.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        window_size: int,
        prefix_tokens: int,
        num_heads: int,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.mask = Tensor(_far(_near(grid, window_size, prefix_tokens)), ms.float32)
        tokens = [None] * prefix_tokens + _places(grid)
        self.offsets = Tensor([_offset(grid, i, j) for i in tokens for j in tokens], ms.int32)
        self.softmax = Softmax()
        self.attention_dropout = Dropout(attention_dropout)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.weigh = ops.BatchMatMul()

    def construct(self, query, key, value, bias=None, rng_key=None):
        mask = self.mask.astype(query.dtype)
        if bias is not None:
            mask = mask + _of_pairs(bias, self.offsets).reshape(self.num_heads, *mask.shape).astype(query.dtype)
        weights = self.softmax(self.scores(query, key) + mask)
        return self.weigh(self.attention_dropout(weights, rng_key), value)


class BlockedLocalAttention(nn.Cell):
    """``LocalAttention`` in blocks of queries, each with the keys and values of its surroundings.

    The grid, filled up to whole blocks, is cut into them; the surroundings of a block reach half a window further on
    each side. Both are gathered by constant indices: on CPU, slices of the neighbouring blocks, joined, take over a
    hundred times as long (79 ms against 0.5 ms for blocks of 7 x 7 among 784 tokens, 6 heads of 64, batch 2). What lies
    in a block's surroundings but not in a query's own window, or beyond the border, is masked.

    Args:
        block: rows and columns of a block.

    The other arguments, inputs and output: those of ``LocalAttention``.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        window_size: int,
        prefix_tokens: int,
        num_heads: int,
        block: tuple[int, int],
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.prefix, self.num_heads = prefix_tokens, num_heads
        halo = _halo(grid, window_size)
        down, across = _blocks(grid, block)
        self.blocks, self.queries = down * across, block[0] * block[1]
        firsts = [(row * block[0], column * block[1]) for row in range(down) for column in range(across)]
        inside = _places(block)
        around = _places(block, halo)

        to_token = [_token(grid, prefix_tokens, _sum(first, place)) for first in firsts for place in inside]
        self.query_tokens = Tensor(to_token, ms.int32)
        prefix = list(range(prefix_tokens))
        self.key_tokens = Tensor(
            [k for first in firsts for k in prefix + [_token(grid, prefix_tokens, _sum(first, j)) for j in around]],
            ms.int32,
        )
        self.prefix_tokens = Tensor(prefix, ms.int32) if prefix else None
        # The outputs: the prefix tokens, then block by block; each token has one place among them.
        self.order = Tensor(prefix + [prefix_tokens + _rank(grid, block, place) for place in _places(grid)], ms.int32)

        self.mask = Tensor(_far(_near_in_blocks(grid, block, halo, prefix_tokens)), ms.float32)
        # The same for every block: queries and their surroundings lie alike in all.
        others = [None] * prefix_tokens + around
        self.offsets = Tensor([_offset(grid, i, j) for i in inside for j in others], ms.int32)
        self.softmax = Softmax()
        self.attention_dropout = Dropout(attention_dropout)
        self.prefix_dropout = Dropout(attention_dropout)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.weigh = ops.BatchMatMul()

    def construct(self, query, key, value, bias=None, rng_key=None):
        near_keys = self._gather(key, self.key_tokens)
        near_values = self._gather(value, self.key_tokens)
        scores = self.scores(self._gather(query, self.query_tokens), near_keys) + self._mask(bias, query.dtype)
        out = self.weigh(self.attention_dropout(self.softmax(scores), rng_key), near_values)
        out = out.reshape(*value.shape[:2], -1, value.shape[3])
        if self.prefix > 0:
            weights = self.softmax(self.scores(ops.gather(query, self.prefix_tokens, 2), key))
            out = ops.concat((self.weigh(self.prefix_dropout(weights, rng_key), value), out), 2)
        return ops.gather(out, self.order, 2)

    def _gather(self, x, tokens):
        """(batch, num_heads, tokens, head_dim) to (batch, num_heads, blocks, tokens of a block, head_dim)."""
        return ops.gather(x, tokens, 2).reshape(*x.shape[:2], self.blocks, -1, x.shape[3])

    def _mask(self, bias, dtype):
        """(blocks, queries, keys), with a bias (num_heads, blocks, queries, keys)."""
        mask = self.mask.reshape(self.blocks, self.queries, -1).astype(dtype)
        if bias is None:
            return mask
        return mask + _of_pairs(bias, self.offsets).reshape(self.num_heads, 1, self.queries, -1).astype(dtype)


def local_attention_mask(grid: tuple[int, int], window_size: int, prefix_tokens: int) -> Tensor:
    """Which token attends to which: bool, (tokens, tokens), queries in rows.

    Raises:
        ValueError: if the window is even or less than 1.
    """
    return Tensor(_near(grid, window_size, prefix_tokens), ms.bool_)


def block_size(grid: tuple[int, int], window_size: int, prefix_tokens: int) -> tuple[int, int] | None:
    """Rows and columns of the blocks of queries that compute the fewest scores; None where blocks do not pay.

    Cutting and joining take time of their own: blocks pay where they save half of the scores.

    Raises:
        ValueError: if the window is even or less than 1.
    """
    halo = _halo(grid, window_size)
    sizes = range(max(4, halo[0], halo[1]), 2 * window_size + 1)
    blocks = [(min(size, grid[0]), min(size, grid[1])) for size in sizes]
    if not blocks:
        return None
    best = min(blocks, key=lambda block: (_blocked_pairs(grid, window_size, prefix_tokens, block), -block[0]))
    tokens = prefix_tokens + grid[0] * grid[1]
    return best if 2 * _blocked_pairs(grid, window_size, prefix_tokens, best) <= tokens * tokens else None


def local_attention_pairs(grid: tuple[int, int], window_size: int, prefix_tokens: int) -> int:
    """Pairs of a query and a rng_key whose score ``LocalAttention`` computes, for one head of one image.

    Raises:
        ValueError: if the window is even or less than 1.
    """
    block = block_size(grid, window_size, prefix_tokens)
    if block is None:
        return (prefix_tokens + grid[0] * grid[1]) ** 2
    return _blocked_pairs(grid, window_size, prefix_tokens, block)


def _blocked_pairs(grid, window_size, prefix_tokens, block):
    queries = near = 1
    for blocks, side, halo in zip(_blocks(grid, block), block, _halo(grid, window_size), strict=True):
        queries *= blocks * side
        near *= side + 2 * halo
    return queries * (prefix_tokens + near) + prefix_tokens * (prefix_tokens + grid[0] * grid[1])


def _halo(grid, window_size):
    """How far a window reaches down and across; never further than the grid."""
    if window_size < 1 or window_size % 2 == 0:
        raise ValueError(f"the window must be an odd number of patches, 1 or more, not {window_size}")
    return tuple(min((window_size - 1) // 2, side - 1) for side in grid)


def _blocks(grid, block):
    return tuple(-(-side // size) for side, size in zip(grid, block, strict=True))


def _places(grid, halo=(0, 0)):
    """Row and column of each patch of a grid, and of those that are no further than ``halo`` from it."""
    return [
        (row, column) for row in range(-halo[0], grid[0] + halo[0]) for column in range(-halo[1], grid[1] + halo[1])
    ]


def _sum(first, place):
    return first[0] + place[0], first[1] + place[1]


def _token(grid, prefix_tokens, place):
    """The number of the token at a place; for one beyond the border, which is masked, that of the nearest."""
    row, column = (min(max(at, 0), side - 1) for at, side in zip(place, grid, strict=True))
    return prefix_tokens + row * grid[1] + column


def _rank(grid, block, place):
    """The number of a patch when they are counted block by block."""
    (row, column), (high, wide) = place, block
    number = row // high * _blocks(grid, block)[1] + column // wide
    return number * high * wide + row % high * wide + column % wide


def _offset(grid, place, other):
    """Where the flattened bias table holds a pair of patches; its end for pairs that have none, as of prefix tokens."""
    high, wide = (2 * side - 1 for side in grid)
    if place is None or other is None:
        return high * wide
    row, column = (i - j + side - 1 for i, j, side in zip(place, other, grid, strict=True))
    return row * wide + column if 0 <= row < high and 0 <= column < wide else high * wide


def _of_pairs(bias, offsets):
    table = bias.reshape(bias.shape[0], -1)
    return ops.gather(ops.concat((table, ops.zeros((bias.shape[0], 1), bias.dtype)), 1), offsets, 1)


def _near(grid, window_size, prefix_tokens):
    """Rows of bool, as ``local_attention_mask``."""
    down, across = (
        [[abs(i - j) <= halo for j in range(side)] for i in range(side)]
        for side, halo in zip(grid, _halo(grid, window_size), strict=True)
    )
    to_all = [[True] * (prefix_tokens + grid[0] * grid[1])] * prefix_tokens
    return to_all + [[True] * prefix_tokens + _product(rows, columns) for rows in down for columns in across]


def _near_in_blocks(grid, block, halo, prefix_tokens):
    """Rows of bool, one for each query of each block: the prefix tokens and its surroundings."""
    down, across = (
        [
            [[0 <= first + j < side and abs(i - j) <= reach for j in range(-reach, size + reach)] for i in range(size)]
            for first in range(0, side, size)
        ]
        for side, size, reach in zip(grid, block, halo, strict=True)
    )
    return [
        [True] * prefix_tokens + _product(rows, columns)
        for block_rows in down
        for block_columns in across
        for rows in block_rows
        for columns in block_columns
    ]


def _product(rows, columns):
    nowhere = [False] * len(columns)
    return [near for row in rows for near in (columns if row else nowhere)]


def _far(near):
    return [[0.0 if item else _FAR for item in row] for row in near]
