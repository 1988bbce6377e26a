"""Attention to a neighbourhood, against loops over single scores in NumPy."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, nn, ops

from mindvit.models.local_attention import (
    BlockedLocalAttention,
    MaskedLocalAttention,
    LocalAttention,
    block_size,
    local_attention_mask,
    local_attention_pairs,
)
from tests import numpy_vit

HEADS = 2
CASES = [
    # grid, window, prefix tokens, block
    ((5, 7), 3, 1, (4, 4)),
    ((9, 9), 5, 3, (4, 4)),
    ((9, 9), 5, 0, (7, 7)),
    ((5, 7), 1, 0, (2, 3)),
    ((6, 4), 7, 1, (2, 2)),
    ((3, 8), 15, 2, (3, 4)),
]


def tokens(rng, grid, prefix, width=4, batch=2):
    shape = (batch, HEADS, prefix + grid[0] * grid[1], width)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(3)]


def table(rng, grid):
    return rng.standard_normal((HEADS, 2 * grid[0] - 1, 2 * grid[1] - 1)).astype(np.float32)


def loops(query, keys, value, grid, window, prefix, bias=None):
    """Query by query, from the words of the definition."""
    columns, reach = grid[1], (window - 1) // 2
    out = np.zeros(value.shape)
    for sample, head, i in np.ndindex(*query.shape[:3]):
        chosen, scores = [], []
        for j in range(keys.shape[2]):
            score = float(query[sample, head, i].astype(np.float64) @ keys[sample, head, j])
            if i >= prefix and j >= prefix:
                down = (i - prefix) // columns - (j - prefix) // columns
                across = (i - prefix) % columns - (j - prefix) % columns
                if max(abs(down), abs(across)) > reach:
                    continue
                if bias is not None:
                    score += bias[head, down + grid[0] - 1, across + grid[1] - 1]
            chosen.append(j)
            scores.append(score)
        out[sample, head, i] = numpy_vit.softmax(np.array(scores)) @ value[sample, head, chosen]
    return out


def both(grid, window, prefix, block, dropout=0.0):
    return {
        "masked": MaskedLocalAttention(grid, window, prefix, HEADS, dropout),
        "blocked": BlockedLocalAttention(grid, window, prefix, HEADS, block, dropout),
    }


@pytest.mark.parametrize(("grid", "window_size", "prefix", "block"), CASES)
@pytest.mark.parametrize("with_bias", [False, True])
def test_both_ways_follow_the_definition(rng, grid, window, prefix, block, with_bias):
    inputs = tokens(rng, grid, prefix)
    bias = table(rng, grid) if with_bias else None
    expected = loops(*inputs, grid, window, prefix, bias)
    for name, cell in both(grid, window, prefix, block).items():
        values = cell(*map(ms.Tensor, inputs), None if bias is None else ms.Tensor(bias)).asnumpy()
        np.testing.assert_allclose(values, expected, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("prefix", [0, 1])
def test_a_window_beyond_the_grid_is_full_attention(rng, prefix):
    grid = (4, 5)
    query, keys, value = tokens(rng, grid, prefix)
    expected = numpy_vit.softmax(query @ keys.swapaxes(2, 3)) @ value
    for cell in [LocalAttention(grid, 11, prefix, HEADS), *both(grid, 11, prefix, (2, 2)).values()]:
        values = cell(*map(ms.Tensor, (query, keys, value))).asnumpy()
        np.testing.assert_allclose(values, expected, atol=1e-5)


class Gradients(nn.Cell):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell
        self.gradients = ops.GradOperation(get_all=True, sens_param=True)

    def construct(self, query, keys, value, bias, weight):
        return self.gradients(self.cell)(query, keys, value, bias, weight)


@pytest.mark.parametrize(("grid", "window_size", "prefix", "block"), CASES[:2])
def test_the_gradients_of_both_ways_are_equal_and_right(rng, grid, window, prefix, block):
    inputs = [*tokens(rng, grid, prefix), table(rng, grid)]
    weight = rng.standard_normal(inputs[0].shape).astype(np.float32)
    found = {
        name: [part.asnumpy() for part in Gradients(cell)(*map(ms.Tensor, [*inputs, weight]))]
        for name, cell in both(grid, window, prefix, block).items()
    }
    for position, part in enumerate(inputs):
        np.testing.assert_allclose(found["blocked"][position], found["masked"][position], atol=2e-5)
        direction = rng.standard_normal(part.shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = [x + step * direction if other == position else x for other, x in enumerate(inputs)]
            ends.append((loops(*moved[:3], grid, window, prefix, moved[3]) * weight).sum())
        slope = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose((found["blocked"][position] * direction).sum(), slope, rtol=1e-3, atol=1e-3)


def test_a_bias_is_learned_through_blocks(rng):
    grid = (8, 8)

    class WithTable(nn.Cell):
        def __init__(self):
            super().__init__()
            self.table = Parameter(ms.Tensor(table(rng, grid)), name="table")
            self.attend = BlockedLocalAttention(grid, 3, 1, HEADS, (4, 4))

        def construct(self, query, keys, value):
            return (self.attend(query, keys, value, self.table) ** 2).sum()

    cell = WithTable()
    (gradient,) = ops.GradOperation(get_by_list=True)(cell, [cell.table])(*map(ms.Tensor, tokens(rng, grid, 1)))
    near = np.abs(gradient.asnumpy()) > 0
    assert near[:, 6:9, 6:9].all() and near.sum() == HEADS * 9


def test_the_mask_says_who_attends_to_whom():
    mask = local_attention_mask((2, 3), 3, 1).asnumpy()
    expected = [
        [1, 1, 1, 1, 1, 1, 1],
        [1, 1, 1, 0, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 1],
        [1, 0, 1, 1, 0, 1, 1],
        [1, 1, 1, 0, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 1],
        [1, 0, 1, 1, 0, 1, 1],
    ]
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, np.array(expected, bool))


@pytest.mark.parametrize("way", ["masked", "blocked"])
def test_dropout_acts_in_training_and_follows_the_key(rng, way):
    grid, prefix = (8, 8), 1
    inputs = [ms.Tensor(part) for part in tokens(rng, grid, prefix)]
    cell = both(grid, 3, prefix, (4, 4), dropout=0.5)[way]
    still = cell.set_train(False)(*inputs).asnumpy()
    keys = [ms.Tensor([number, number + 1], ms.int32) for number in (5, 5, 123456)]
    cell.set_train(True)
    first, again, other = (cell(*inputs, None, key).asnumpy() for key in keys)
    np.testing.assert_array_equal(first, again)
    for token in (0, 1, 40):
        assert np.abs(first[:, :, token] - still[:, :, token]).max() > 0.05
        assert np.abs(first[:, :, token] - other[:, :, token]).max() > 0.05


@pytest.mark.parametrize("way", ["masked", "blocked"])
def test_float16_stays_float16_and_finite(rng, way):
    inputs = tokens(rng, (5, 6), 0)
    values = both((5, 6), 3, 0, (4, 4))[way](*(ms.Tensor(part.astype(np.float16)) for part in inputs)).asnumpy()
    assert values.dtype == np.float16
    np.testing.assert_allclose(values, loops(*inputs, (5, 6), 3, 0), atol=2e-2)


def test_work_grows_linearly_with_the_patches():
    per_patch = [local_attention_pairs((side, side), 7, 1) / side**2 for side in (28, 56, 112, 224)]
    assert max(per_patch) < 200
    assert max(per_patch) < 1.1 * min(per_patch)


def test_large_grids_are_blocked_and_hold_no_matrix_of_all_pairs():
    grid = (56, 56)
    cell = LocalAttention(grid, 7, 1, HEADS).attend
    assert isinstance(cell, BlockedLocalAttention)
    assert cell.mask.size + cell.offsets.size < 0.1 * (56 * 56) ** 2
    assert cell.mask.size <= local_attention_pairs(grid, 7, 1)


@pytest.mark.parametrize("grid", [(7, 7), (14, 14)])
def test_small_grids_are_not_cut(grid):
    assert block_size(grid, 7, 1) is None
    assert isinstance(LocalAttention(grid, 7, 1, HEADS).attend, MaskedLocalAttention)
    assert local_attention_pairs(grid, 7, 1) == (grid[0] * grid[1] + 1) ** 2


def test_the_products_are_those_of_the_blocks():
    grid, window, prefix = (30, 41), 5, 2
    height, width = block_size(grid, window, prefix)
    blocks = -(-30 // height) * -(-41 // width)
    products = blocks * height * width * (prefix + (height + 4) * (width + 4)) + prefix * (prefix + 30 * 41)
    assert local_attention_pairs(grid, window, prefix) == products


@pytest.mark.parametrize("window_size", [0, 4, -3])
def test_an_even_window_is_refused(window):
    with pytest.raises(ValueError, match=f"odd number of patches.*not {window}"):
        LocalAttention((8, 8), window, 1, HEADS)
