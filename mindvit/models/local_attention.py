"""Local attention: each patch attends to the patches in a window around it."""

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvit.ops.dropout import Dropout
from mindvit.ops.softmax_attention import Softmax

# Added to masked scores. It is finite, so that a fully masked row gives no NaN, and within the range of float16.
_MASKED = -30000.0


class LocalAttention(nn.Cell):
    """Attention within a window of patches (Parmar et al., 2018, "Image Transformer").

    A patch attends to the prefix tokens (class token, registers) and to the patches whose row and column differ from
    its own by at most ``(window_size - 1) / 2``. At the border of the grid the window is truncated, not shifted. Prefix
    tokens attend to all tokens. The result equals full attention with ``local_attention_mask``. Small grids are
    computed that way. Large grids are computed in blocks, with time and memory that grow linearly with the number of
    patches (``mindvit benchmark operators --operator local_attention``).

    Args:
        grid: rows and columns of patches.
        window_size: side of the window, in patches; odd.
        prefix_tokens: number of tokens before the patches.
        num_heads: number of heads.
        attention_dropout: probability of dropping an attention weight.

    Inputs: query (already scaled), key and value, (batch, num_heads, prefix_tokens + rows * columns, head_dim), patches
    row by row; bias, None or (num_heads, 2 rows - 1, 2 columns - 1), whose element
    [:, row_i - row_j + rows - 1, column_i - column_j + columns - 1] is added to the score of query patch i and key
    patch j; rng_key, int32 (batch,) or None, which determines the dropout masks. Output: same shape as value.

    Raises:
        ValueError: if the window size is even or less than 1.
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
        """Attention weights of all pairs, 0 outside the windows: (batch, num_heads, tokens, tokens).

        This is for inspection only: it needs tokens^2 numbers per head, even if ``construct`` computes in blocks.
        """
        (rows, columns), (down, across), prefix = self.grid, self.halo, self.prefix
        patch = ops.arange(rows * columns).astype(ms.int32)
        row = patch // columns
        column = patch - row * columns
        row_offset = ops.expand_dims(row, 1) - ops.expand_dims(row, 0)
        column_offset = ops.expand_dims(column, 1) - ops.expand_dims(column, 0)
        is_outside = ops.logical_or(ops.abs(row_offset) > down, ops.abs(column_offset) > across)
        mask = ops.expand_dims(is_outside.astype(query.dtype) * _MASKED, 0)
        if bias is not None:
            index = (row_offset + rows - 1) * (2 * columns - 1) + column_offset + columns - 1
            mask = mask + _gather_bias(bias, index.reshape(-1)).reshape(-1, *mask.shape[1:]).astype(query.dtype)
        mask = ops.pad(ops.expand_dims(mask, 0), (prefix, 0, prefix, 0))
        return self.softmax(self.scores(query, key) + mask)


class MaskedLocalAttention(nn.Cell):
    """``LocalAttention`` as full attention with a mask, which is fastest on small grids.

    Arguments, inputs and output: as in ``LocalAttention``.
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
        self.mask = Tensor(_additive(_window_mask(grid, window_size, prefix_tokens)), ms.float32)
        tokens = [None] * prefix_tokens + _coordinates(grid)
        self.bias_index = Tensor([_bias_index(grid, i, j) for i in tokens for j in tokens], ms.int32)
        self.softmax = Softmax()
        self.attention_dropout = Dropout(attention_dropout)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.weighted_sum = ops.BatchMatMul()

    def construct(self, query, key, value, bias=None, rng_key=None):
        mask = self.mask.astype(query.dtype)
        if bias is not None:
            mask = mask + _gather_bias(bias, self.bias_index).reshape(self.num_heads, *mask.shape).astype(query.dtype)
        weights = self.softmax(self.scores(query, key) + mask)
        return self.weighted_sum(self.attention_dropout(weights, rng_key), value)


class BlockedLocalAttention(nn.Cell):
    """``LocalAttention`` in blocks of queries, each with the keys and values of the block and its halo.

    The grid is padded to whole blocks and divided into them. The halo of a block extends it by half a window on each
    side. Queries, keys and values are gathered with constant indices: on CPU, concatenated slices of adjacent blocks
    take over a hundred times as long (79 ms against 0.5 ms for blocks of 7 x 7 among 784 tokens, 6 heads of 64,
    batch 2). Keys outside the window of a query or outside the grid are masked.

    Args:
        block: rows and columns of a block.

    The other arguments, inputs and output: as in ``LocalAttention``.
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
        down, across = _num_blocks(grid, block)
        self.blocks, self.queries = down * across, block[0] * block[1]
        origins = [(row * block[0], column * block[1]) for row in range(down) for column in range(across)]
        inner = _coordinates(block)
        outer = _coordinates(block, halo)

        query_tokens = [_token(grid, prefix_tokens, _add(origin, offset)) for origin in origins for offset in inner]
        self.query_tokens = Tensor(query_tokens, ms.int32)
        prefix = list(range(prefix_tokens))
        key_tokens = [
            token
            for origin in origins
            for token in prefix + [_token(grid, prefix_tokens, _add(origin, offset)) for offset in outer]
        ]
        self.key_tokens = Tensor(key_tokens, ms.int32)
        self.prefix_tokens = Tensor(prefix, ms.int32) if prefix else None
        # The outputs are ordered as the prefix tokens, then block by block; this restores the order of the tokens.
        order = prefix + [prefix_tokens + _index_in_blocks(grid, block, patch) for patch in _coordinates(grid)]
        self.order = Tensor(order, ms.int32)

        self.mask = Tensor(_additive(_window_mask_of_blocks(grid, block, halo, prefix_tokens)), ms.float32)
        # The same for every block, because the relative positions of queries and keys are the same in all blocks.
        keys = [None] * prefix_tokens + outer
        self.bias_index = Tensor([_bias_index(grid, i, j) for i in inner for j in keys], ms.int32)
        self.softmax = Softmax()
        self.attention_dropout = Dropout(attention_dropout)
        self.prefix_dropout = Dropout(attention_dropout)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.weighted_sum = ops.BatchMatMul()

    def construct(self, query, key, value, bias=None, rng_key=None):
        block_keys = self._gather(key, self.key_tokens)
        block_values = self._gather(value, self.key_tokens)
        scores = self.scores(self._gather(query, self.query_tokens), block_keys) + self._mask(bias, query.dtype)
        out = self.weighted_sum(self.attention_dropout(self.softmax(scores), rng_key), block_values)
        out = out.reshape(*value.shape[:2], -1, value.shape[3])
        if self.prefix > 0:
            weights = self.softmax(self.scores(ops.gather(query, self.prefix_tokens, 2), key))
            out = ops.concat((self.weighted_sum(self.prefix_dropout(weights, rng_key), value), out), 2)
        return ops.gather(out, self.order, 2)

    def _gather(self, x, tokens):
        """(batch, num_heads, tokens, head_dim) to (batch, num_heads, blocks, tokens of a block, head_dim)."""
        return ops.gather(x, tokens, 2).reshape(*x.shape[:2], self.blocks, -1, x.shape[3])

    def _mask(self, bias, dtype):
        """(blocks, queries, keys) without a bias, (num_heads, blocks, queries, keys) with one."""
        mask = self.mask.reshape(self.blocks, self.queries, -1).astype(dtype)
        if bias is None:
            return mask
        return mask + _gather_bias(bias, self.bias_index).reshape(self.num_heads, 1, self.queries, -1).astype(dtype)


def local_attention_mask(grid: tuple[int, int], window_size: int, prefix_tokens: int) -> Tensor:
    """The attention mask: bool, (tokens, tokens), one row per query, True where the query attends to the key.

    Raises:
        ValueError: if the window size is even or less than 1.
    """
    return Tensor(_window_mask(grid, window_size, prefix_tokens), ms.bool_)


def block_size(grid: tuple[int, int], window_size: int, prefix_tokens: int) -> tuple[int, int] | None:
    """Rows and columns of the blocks of queries with the fewest scores; None if full attention with a mask is better.

    Gathering the blocks takes time too. Blocks are used if they save at least half of the scores.

    Raises:
        ValueError: if the window size is even or less than 1.
    """
    halo = _halo(grid, window_size)
    sizes = range(max(4, halo[0], halo[1]), min(2 * window_size, max(4, *grid)) + 1)
    blocks = [(min(size, grid[0]), min(size, grid[1])) for size in sizes]
    if not blocks:
        return None
    best = min(blocks, key=lambda block: (num_blocked_scores(grid, window_size, prefix_tokens, block), -block[0]))
    tokens = prefix_tokens + grid[0] * grid[1]
    return best if 2 * num_blocked_scores(grid, window_size, prefix_tokens, best) <= tokens * tokens else None


def num_blocked_scores(grid: tuple[int, int], window_size: int, prefix_tokens: int, block: tuple[int, int]) -> int:
    """Scores that ``BlockedLocalAttention`` computes per head and image with the given block size.

    Raises:
        ValueError: if the window size is even or less than 1.
    """
    queries = keys = 1
    for blocks, side, halo in zip(_num_blocks(grid, block), block, _halo(grid, window_size), strict=True):
        queries *= blocks * side
        keys *= side + 2 * halo
    return queries * (prefix_tokens + keys) + prefix_tokens * (prefix_tokens + grid[0] * grid[1])


def _halo(grid, window_size):
    """Rows and columns by which a window extends beyond its patch on each side; less than the grid."""
    if window_size < 1 or window_size % 2 == 0:
        raise ValueError(f"window_size must be an odd number of patches, 1 or more, not {window_size}")
    return tuple(min((window_size - 1) // 2, side - 1) for side in grid)


def _num_blocks(grid, block):
    return tuple(-(-side // size) for side, size in zip(grid, block, strict=True))


def _coordinates(grid, halo=(0, 0)):
    """Row and column of each patch of a grid and of its halo, row by row."""
    return [
        (row, column) for row in range(-halo[0], grid[0] + halo[0]) for column in range(-halo[1], grid[1] + halo[1])
    ]


def _add(origin, offset):
    return origin[0] + offset[0], origin[1] + offset[1]


def _token(grid, prefix_tokens, patch):
    """Index of the token of a patch; for a patch outside the grid, which is masked, that of the nearest patch."""
    row, column = (min(max(at, 0), side - 1) for at, side in zip(patch, grid, strict=True))
    return prefix_tokens + row * grid[1] + column


def _index_in_blocks(grid, block, patch):
    """Index of a patch if patches are numbered block by block."""
    (row, column), (height, width) = patch, block
    number = row // height * _num_blocks(grid, block)[1] + column // width
    return number * height * width + row % height * width + column % width


def _bias_index(grid, query, key):
    """Index of a pair of patches in the flattened bias table; one past its end for pairs without a bias."""
    height, width = (2 * side - 1 for side in grid)
    if query is None or key is None:
        return height * width
    row, column = (i - j + side - 1 for i, j, side in zip(query, key, grid, strict=True))
    return row * width + column if 0 <= row < height and 0 <= column < width else height * width


def _gather_bias(bias, index):
    table = bias.reshape(bias.shape[0], -1)
    return ops.gather(ops.concat((table, ops.zeros((bias.shape[0], 1), bias.dtype)), 1), index, 1)


def _window_mask(grid, window_size, prefix_tokens):
    """The mask of ``local_attention_mask`` as lists of bool."""
    down, across = (
        [[abs(i - j) <= halo for j in range(side)] for i in range(side)]
        for side, halo in zip(grid, _halo(grid, window_size), strict=True)
    )
    prefix = [[True] * (prefix_tokens + grid[0] * grid[1])] * prefix_tokens
    return prefix + [[True] * prefix_tokens + _outer_and(rows, columns) for rows in down for columns in across]


def _window_mask_of_blocks(grid, block, halo, prefix_tokens):
    """Lists of bool, one for each query of each block: the prefix tokens, then the block and its halo."""
    down, across = (
        [
            [[0 <= first + j < side and abs(i - j) <= reach for j in range(-reach, size + reach)] for i in range(size)]
            for first in range(0, side, size)
        ]
        for side, size, reach in zip(grid, block, halo, strict=True)
    )
    return [
        [True] * prefix_tokens + _outer_and(rows, columns)
        for block_rows in down
        for block_columns in across
        for rows in block_rows
        for columns in block_columns
    ]


def _outer_and(rows, columns):
    """The flattened matrix of ``row and column``."""
    none = [False] * len(columns)
    return [item for row in rows for item in (columns if row else none)]


def _additive(mask):
    """0 where the mask is True, ``_MASKED`` elsewhere."""
    return [[0.0 if item else _MASKED for item in row] for row in mask]
