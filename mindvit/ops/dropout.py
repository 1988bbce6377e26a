"""Reproducible dropout: each mask is a function of the ``rng_key`` of the sample, not of a random generator's state."""

import math

import mindspore as ms
from mindspore import nn, ops

_GOLDEN_RATIO = 0x9E3779B9  # 2^32 divided by the golden ratio.


class KeyedCell(nn.Cell):
    """A cell whose random numbers are a function of ``rng_key`` and of the position of the cell in the network.

    The dropout of MindSpore uses a generator that no seed fixes and no checkpoint restores, so a run could never be
    resumed exactly. Here, the ``rng_key`` of a sample (one random integer per sample index) is combined with the
    ``rng_id`` of the cell by ``h(s) = s (2 s + 1) mod 2^32``. This is the quadratic map of the RC6 cipher, whose high
    bits depend on all bits of ``s``. The mask of a sample therefore depends neither on the batch, nor on the number of
    ranks, nor on interruptions of the run. ``tests/ops/test_dropout.py`` tests the statistics of the masks.

    Args:
        p: probability of dropping, in [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"the probability of dropping must be in [0, 1), not {p}")
        self.p = p
        self.threshold = _to_int32(int(p * 2**32) - 2**31)
        self.rng_id = 0
        self.golden_ratio = _to_int32(_GOLDEN_RATIO)
        self.stock_dropout = nn.Dropout(p=p)

    def set_rng_id(self, number: int) -> None:
        """Sets ``rng_id`` from the number of the cell in its network, so that each cell draws other masks."""
        self.rng_id = _to_int32(_lowbias32(number + 1))

    def _quadratic(self, seed):
        return seed * (2 * seed + 1)

    def _hash(self, seed):
        mapped = self._quadratic(seed)
        high_bits = ops.bitwise_and(ops.bitwise_right_shift(mapped, ms.Tensor(15, ms.int32)), 0x1FFFF)
        return ops.bitwise_xor(mapped, high_bits)


class Dropout(KeyedCell):
    """Drops elements in training, and divides the others by the probability of keeping them.

    Without ``rng_key`` the generator of MindSpore draws the mask, which is then not reproducible.

    Inputs: x, (batch, ..., width); rng_key, int32 (batch,) or None. Output: same shape as x.
    """

    def construct(self, x, rng_key=None):
        if not self.training or self.p == 0:
            return x
        if rng_key is None:
            return self.stock_dropout(x)
        batch, width = x.shape[0], x.shape[-1]
        rows = x.size // (batch * width)
        row = self._hash(ops.arange(rows).astype(ms.int32) * self.golden_ratio + self.rng_id)
        row = self._hash((rng_key + self.rng_id).reshape(batch, 1) + row.reshape(1, rows))
        column = self._hash(ops.arange(width).astype(ms.int32) * self.golden_ratio + self.golden_ratio)
        drawn = self._quadratic(ops.expand_dims(row.reshape(x.shape[:-1]), -1) + column)
        return x * ((drawn >= self.threshold).astype(x.dtype) * (1.0 / (1.0 - self.p)))


class DropPath(KeyedCell):
    """Stochastic depth: drops a residual branch for whole samples in training (Huang et al., 2016).

    A branch that is kept is divided by the probability of keeping it, so that its expectation does not change.
    Without ``rng_key`` the generator of MindSpore draws the mask, which is then not reproducible.

    Inputs: x, (batch, ...); rng_key, int32 (batch,) or None. Output: same shape as x.
    """

    def construct(self, x, rng_key=None):
        if not self.training or self.p == 0:
            return x
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        if rng_key is None:
            return x * self.stock_dropout(ops.ones(shape, x.dtype))
        kept = (self._quadratic(rng_key + self.rng_id) >= self.threshold).astype(x.dtype)
        return x * (kept * (1.0 / (1.0 - self.p))).reshape(shape)


class PatchDropout(KeyedCell):
    """Drops random patches of each sample in training (Liu et al., 2023, "PatchDropout").

    Without ``rng_key`` the generator of MindSpore draws the patches, which are then not reproducible.

    Args:
        p: fraction of the patches to drop; ``num_kept_patches`` gives the number that remains.
        num_patches: patches of an image.
        prefix_tokens: number of prefix tokens; they are always kept.

    Inputs: x, (batch, prefix_tokens + patches, width); rng_key, int32 (batch,) or None. Output: as x with fewer tokens;
    the remaining patches are in random order.
    """

    def __init__(self, p: float, num_patches: int, prefix_tokens: int = 0) -> None:
        super().__init__(p)
        self.num_patches = num_patches
        self.kept = num_kept_patches(num_patches, p)
        self.prefix_tokens = prefix_tokens

    def construct(self, x, rng_key=None):
        if not self.training or self.p == 0:
            return x
        batch, patches, kept = x.shape[0], self.num_patches, self.kept
        if rng_key is None:
            drawn = ops.standard_normal((batch, patches))
        else:
            patch = self._hash(ops.arange(patches).astype(ms.int32) * self.golden_ratio + self.rng_id)
            drawn = self._quadratic(self._hash((rng_key + self.rng_id).reshape(batch, 1) + patch.reshape(1, patches)))
            drawn = drawn.astype(ms.float32)
        selected = ops.topk(drawn, kept)[1]  # MindSpore warns about "_, selected" after a return.
        rows = ops.expand_dims(ops.arange(batch).astype(ms.int32), 1)
        indices = ops.stack((ops.tile(rows, (1, kept)), selected.astype(ms.int32) + self.prefix_tokens), 2)
        remaining = ops.gather_nd(x, indices)
        return ops.concat((x[:, : self.prefix_tokens], remaining), 1) if self.prefix_tokens else remaining


def num_kept_patches(num_patches: int, patch_dropout: float) -> int:
    """Number of patches that remain after dropping the fraction ``patch_dropout``; at least one."""
    # The small addend compensates for rounding: 100 * (1 - 0.9) is 9.999999999999998.
    return max(1, math.floor(num_patches * (1 - patch_dropout) + 1e-6))


def assign_rng_ids(network: nn.Cell) -> None:
    """Assigns an ``rng_id`` to each ``KeyedCell`` of a network, in the order of the cells, patch dropout last.

    Adding patch dropout to a network therefore does not change the masks of its other cells.
    """
    cells = [cell for _, cell in network.cells_and_names() if isinstance(cell, KeyedCell)]
    for number, cell in enumerate(sorted(cells, key=lambda cell: isinstance(cell, PatchDropout))):
        cell.set_rng_id(number)


def _lowbias32(number: int) -> int:
    """The 32-bit integer hash ``lowbias32`` (Wellons, 2018, "Prospecting for Hash Functions")."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        number = ((number ^ (number >> shift)) * factor) & 0xFFFFFFFF
    return number ^ (number >> 16)


def _to_int32(number: int) -> int:
    """The signed integer with the same 32 bits."""
    return (number + 2**31) % 2**32 - 2**31
