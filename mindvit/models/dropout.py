"""Dropout that repeats itself: each mask is a function of the sample's rng_key, not of a generator's hidden state."""

import math

import mindspore as ms
from mindspore import nn, ops

_GOLDEN = 0x9E3779B9


class KeyedCell(nn.Cell):
    """A cell whose randomness is a function of the samples' keys and of its own place in the network.

    MindSpore's dropout draws from a generator that no seed fixes and no checkpoint restores, so that a run could
    never be continued exactly. Here a sample's rng_key (one random integer for each visit of an image) is combined with
    the cell's ``rng_id`` by ``h(s) = s (2 s + 1) mod 2^32``, the quadratic map of the RC6 cipher, whose high bits
    depend on all bits of ``s``. The same image is then dropped in the same way whatever the batch, the number of
    workers, or how often the run was interrupted. ``tests/models/test_dropout.py`` tests the masks' statistics.

    Args:
        p: probability of dropping, in [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"the probability of dropping must lie in [0, 1), not {p}")
        self.p = p
        self.threshold = _signed(int(p * 2**32) - 2**31)
        self.rng_id = 0
        self.golden = _signed(_GOLDEN)
        self.unkeyed = nn.Dropout(p=p)

    def set_rng_id(self, number: int) -> None:
        """Gives the cell its place, so that no two cells of a network drop alike."""
        self.rng_id = _signed(_mix(number + 1))

    def _spread(self, seed):
        return seed * (2 * seed + 1)

    def _stir(self, seed):
        spread = self._spread(seed)
        high = ops.bitwise_and(ops.bitwise_right_shift(spread, ms.Tensor(15, ms.int32)), 0x1FFFF)
        return ops.bitwise_xor(spread, high)


class Dropout(KeyedCell):
    """Drops single elements in training, and divides the others by the probability of keeping them.

    Without keys MindSpore's own generator draws: right, but not repeatable.

    Inputs: x, (batch, ..., width); rng_key, int32 (batch,) or None. Output: as x.
    """

    def construct(self, x, rng_key=None):
        if not self.training or self.p == 0:
            return x
        if rng_key is None:
            return self.unkeyed(x)
        batch, width = x.shape[0], x.shape[-1]
        rows = x.size // (batch * width)
        row = self._stir(ops.arange(rows).astype(ms.int32) * self.golden + self.rng_id)
        row = self._stir((rng_key + self.rng_id).reshape(batch, 1) + row.reshape(1, rows))
        column = self._stir(ops.arange(width).astype(ms.int32) * self.golden + self.golden)
        drawn = self._spread(ops.expand_dims(row.reshape(x.shape[:-1]), -1) + column)
        return x * ((drawn >= self.threshold).astype(x.dtype) * (1.0 / (1.0 - self.p)))


class DropPath(KeyedCell):
    """Stochastic depth: in training, drops a residual branch for whole samples (Huang et al., 2016).

    A branch that is kept is divided by the probability of keeping it, so that its expectation is unchanged.
    Without keys MindSpore's own generator draws: right, but not repeatable.

    Inputs: x, (batch, ...); rng_key, int32 (batch,) or None. Output: as x.
    """

    def construct(self, x, rng_key=None):
        if not self.training or self.p == 0:
            return x
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        if rng_key is None:
            return x * self.unkeyed(ops.ones(shape, x.dtype))
        kept = (self._spread(rng_key + self.rng_id) >= self.threshold).astype(x.dtype)
        return x * (kept * (1.0 / (1.0 - self.p))).reshape(shape)


class PatchDropout(KeyedCell):
    """In training, leaves out patches, of each sample others (Liu et al., 2023, "PatchDropout").

    Without keys MindSpore's own generator draws: right, but not repeatable.

    Args:
        p: share of the patches that is left out; ``patches_kept`` says how many stay.
        num_patches: patches of an image.
        prefix_tokens: tokens before those of the patches; they always stay.

    Inputs: x, (batch, prefix_tokens + patches, width); rng_key, int32 (batch,) or None. Output: as x, with fewer tokens,
    the patches in an order of chance.
    """

    def __init__(self, p: float, num_patches: int, prefix_tokens: int = 0) -> None:
        super().__init__(p)
        self.num_patches = num_patches
        self.kept = patches_kept(num_patches, p)
        self.prefix_tokens = prefix_tokens

    def construct(self, x, rng_key=None):
        if not self.training or self.p == 0:
            return x
        batch, patches, kept = x.shape[0], self.num_patches, self.kept
        if rng_key is None:
            drawn = ops.standard_normal((batch, patches))
        else:
            set_rng_id = self._stir(ops.arange(patches).astype(ms.int32) * self.golden + self.rng_id)
            drawn = self._spread(self._stir((rng_key + self.rng_id).reshape(batch, 1) + set_rng_id.reshape(1, patches)))
            drawn = drawn.astype(ms.float32)
        chosen = ops.topk(drawn, kept)[1]  # MindSpore warns of "_, chosen" after a return.
        rows = ops.expand_dims(ops.arange(batch).astype(ms.int32), 1)
        places = ops.stack((ops.tile(rows, (1, kept)), chosen.astype(ms.int32) + self.prefix_tokens), 2)
        left = ops.gather_nd(x, places)
        return ops.concat((x[:, : self.prefix_tokens], left), 1) if self.prefix_tokens else left


def patches_kept(num_patches: int, patch_dropout: float) -> int:
    """The whole patches that stay where ``patch_dropout`` is the share that is left out; one at the least."""
    # The small addition outweighs rounding: 100 * (1 - 0.9) is 9.999999999999998.
    return max(1, math.floor(num_patches * (1 - patch_dropout) + 1e-6))


def assign_rng_ids(network: nn.Cell) -> None:
    """Numbers all keyed cells of a network in their order, those that drop patches last.

    So every other cell draws the masks that it drew before there was such a one.
    """
    cells = [cell for _, cell in network.cells_and_names() if isinstance(cell, KeyedCell)]
    for number, cell in enumerate(sorted(cells, key=lambda cell: isinstance(cell, PatchDropout))):
        cell.set_rng_id(number)


def _mix(number: int) -> int:
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        number = ((number ^ (number >> shift)) * factor) & 0xFFFFFFFF
    return number ^ (number >> 16)


def _signed(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31
