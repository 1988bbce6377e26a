"""Local attention, against loops over single scores in NumPy."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, nn, ops

from mindvit.models.local_attention import (
    BlockedLocalAttention,
    LocalAttention,
    MaskedLocalAttention,
    block_size,
    local_attention_mask,
    num_blocked_scores,
)
from tests import numpy_vit

pytestmark = pytest.mark.eager

HEADS = 2
CASES = [
    # grid, window size, prefix tokens, block
    ((5, 7), 3, 1, (4, 4)),
    ((9, 9), 5, 3, (4, 4)),
    ((9, 9), 5, 0, (7, 7)),
    ((5, 7), 1, 0, (2, 3)),
    ((6, 4), 7, 1, (2, 2)),
    ((3, 8), 15, 2, (3, 4)),
]


def query_key_value(rng, grid, prefix, width=4, batch=2):
    shape = (batch, HEADS, prefix + grid[0] * grid[1], width)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(3)]


def bias_table(rng, grid):
    return rng.standard_normal((HEADS, 2 * grid[0] - 1, 2 * grid[1] - 1)).astype(np.float32)


def reference(query, key, value, grid, window_size, prefix, bias=None):
    """Local attention by its definition, query by query."""
    columns, halo = grid[1], (window_size - 1) // 2
    out = np.zeros(value.shape)
    for sample, head, i in np.ndindex(*query.shape[:3]):
        attended, scores = [], []
        for j in range(key.shape[2]):
            score = float(query[sample, head, i].astype(np.float64) @ key[sample, head, j])
            if i >= prefix and j >= prefix:
                down = (i - prefix) // columns - (j - prefix) // columns
                across = (i - prefix) % columns - (j - prefix) % columns
                if max(abs(down), abs(across)) > halo:
                    continue
                if bias is not None:
                    score += bias[head, down + grid[0] - 1, across + grid[1] - 1]
            attended.append(j)
            scores.append(score)
        out[sample, head, i] = numpy_vit.softmax(np.array(scores)) @ value[sample, head, attended]
    return out


def implementations(grid, window_size, prefix, block, dropout=0.0):
    return {
        "masked": MaskedLocalAttention(grid, window_size, prefix, HEADS, dropout),
        "blocked": BlockedLocalAttention(grid, window_size, prefix, HEADS, block, dropout),
    }


@pytest.mark.slow
@pytest.mark.parametrize(("grid", "window_size", "prefix", "block"), CASES)
@pytest.mark.parametrize("with_bias", [False, True])
def test_both_implementations_follow_the_definition(rng, grid, window_size, prefix, block, with_bias):
    inputs = query_key_value(rng, grid, prefix)
    bias = bias_table(rng, grid) if with_bias else None
    expected = reference(*inputs, grid, window_size, prefix, bias)
    for name, cell in implementations(grid, window_size, prefix, block).items():
        values = cell(*map(ms.Tensor, inputs), None if bias is None else ms.Tensor(bias)).asnumpy()
        np.testing.assert_allclose(values, expected, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("prefix", [0, 1])
def test_a_window_larger_than_the_grid_is_full_attention(rng, prefix):
    grid = (4, 5)
    query, key, value = query_key_value(rng, grid, prefix)
    expected = numpy_vit.softmax(query @ key.swapaxes(2, 3)) @ value
    for cell in [LocalAttention(grid, 11, prefix, HEADS), *implementations(grid, 11, prefix, (2, 2)).values()]:
        values = cell(*map(ms.Tensor, (query, key, value))).asnumpy()
        np.testing.assert_allclose(values, expected, atol=1e-5)


class Gradients(nn.Cell):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell
        self.gradients = ops.GradOperation(get_all=True, sens_param=True)

    def construct(self, query, key, value, bias, cotangent):
        return self.gradients(self.cell)(query, key, value, bias, cotangent)


@pytest.mark.slow
@pytest.mark.parametrize(("grid", "window_size", "prefix", "block"), CASES[:2])
def test_the_gradients_of_both_implementations_are_equal_and_correct(rng, grid, window_size, prefix, block):
    inputs = [*query_key_value(rng, grid, prefix), bias_table(rng, grid)]
    cotangent = rng.standard_normal(inputs[0].shape).astype(np.float32)
    found = {
        name: [part.asnumpy() for part in Gradients(cell)(*map(ms.Tensor, [*inputs, cotangent]))]
        for name, cell in implementations(grid, window_size, prefix, block).items()
    }
    for position, part in enumerate(inputs):
        np.testing.assert_allclose(found["blocked"][position], found["masked"][position], atol=2e-5)
        direction = rng.standard_normal(part.shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = [x + step * direction if other == position else x for other, x in enumerate(inputs)]
            ends.append((reference(*moved[:3], grid, window_size, prefix, moved[3]) * cotangent).sum())
        slope = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose((found["blocked"][position] * direction).sum(), slope, rtol=1e-3, atol=1e-3)


def test_the_bias_has_a_gradient_through_blocks(rng):
    grid = (8, 8)

    class WithTable(nn.Cell):
        def __init__(self):
            super().__init__()
            self.table = Parameter(ms.Tensor(bias_table(rng, grid)), name="table")
            self.attend = BlockedLocalAttention(grid, 3, 1, HEADS, (4, 4))

        def construct(self, query, key, value):
            return (self.attend(query, key, value, self.table) ** 2).sum()

    cell = WithTable()
    (gradient,) = ops.GradOperation(get_by_list=True)(cell, [cell.table])(
        *map(ms.Tensor, query_key_value(rng, grid, 1))
    )
    has_gradient = np.abs(gradient.asnumpy()) > 0
    assert has_gradient[:, 6:9, 6:9].all() and has_gradient.sum() == HEADS * 9


def test_the_mask_marks_the_keys_of_each_query():
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


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["masked", "blocked"])
def test_dropout_acts_in_training_and_depends_on_the_rng_key(rng, implementation):
    grid, prefix = (8, 8), 1
    inputs = [ms.Tensor(part) for part in query_key_value(rng, grid, prefix)]
    cell = implementations(grid, 3, prefix, (4, 4), dropout=0.5)[implementation]
    evaluated = cell.set_train(False)(*inputs).asnumpy()
    rng_keys = [ms.Tensor([number, number + 1], ms.int32) for number in (5, 5, 123456)]
    cell.set_train(True)
    first, again, other = (cell(*inputs, None, rng_key).asnumpy() for rng_key in rng_keys)
    np.testing.assert_array_equal(first, again)
    for token in (0, 1, 40):
        assert np.abs(first[:, :, token] - evaluated[:, :, token]).max() > 0.05
        assert np.abs(first[:, :, token] - other[:, :, token]).max() > 0.05


@pytest.mark.parametrize("implementation", ["masked", "blocked"])
def test_float16_inputs_give_finite_float16_outputs(rng, implementation):
    inputs = query_key_value(rng, (5, 6), 0)
    cell = implementations((5, 6), 3, 0, (4, 4))[implementation]
    values = cell(*(ms.Tensor(part.astype(np.float16)) for part in inputs)).asnumpy()
    assert values.dtype == np.float16
    np.testing.assert_allclose(values, reference(*inputs, (5, 6), 3, 0), atol=2e-2)


def test_large_grids_use_blocks_and_store_no_matrix_of_all_pairs():
    grid = (56, 56)
    cell = LocalAttention(grid, 7, 1, HEADS).attend
    assert isinstance(cell, BlockedLocalAttention)
    assert cell.mask.size + cell.bias_index.size < 0.1 * (56 * 56) ** 2
    assert cell.mask.size <= num_blocked_scores(grid, 7, 1, block_size(grid, 7, 1))


@pytest.mark.parametrize("grid", [(7, 7), (14, 14)])
def test_small_grids_use_a_mask(grid):
    assert block_size(grid, 7, 1) is None
    assert isinstance(LocalAttention(grid, 7, 1, HEADS).attend, MaskedLocalAttention)


def test_a_window_that_is_much_larger_than_the_grid_is_full_attention_at_once():
    assert block_size((56, 40), 10**12 + 1, 1) is None


@pytest.mark.parametrize("window_size", [0, 4, -3])
def test_an_even_window_size_is_an_error(window_size):
    with pytest.raises(ValueError, match=f"odd number of patches.*not {window_size}"):
        LocalAttention((8, 8), window_size, 1, HEADS)
