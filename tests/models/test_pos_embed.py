import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindvit.models.pos_embed import RelativeBias, join_rows_and_columns, sincos_2d
from tests import numpy_vit


def test_sincos_2d_has_sines_and_cosines_of_column_and_row():
    table = sincos_2d((3, 2), 12)
    assert table.shape == (1, 6, 12) and table.dtype == ms.float32
    frequencies = np.array([1.0, 0.01, 0.0001])
    for patch, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]):
        expected = [f(position * frequencies) for position in (column, row) for f in (np.sin, np.cos)]
        np.testing.assert_allclose(table.asnumpy()[0, patch], np.concatenate(expected), atol=1e-6)


def test_the_lowest_frequency_is_the_inverse_of_the_temperature():
    table = sincos_2d((1, 2), 8, temperature=50.0).asnumpy()[0, 1]
    np.testing.assert_allclose(table[:4], np.concatenate([f([1.0, 0.02]) for f in (np.sin, np.cos)]), atol=1e-6)


def test_the_smallest_embed_dim_has_one_frequency():
    np.testing.assert_allclose(
        sincos_2d((2, 2), 4).asnumpy()[0, 2], [0, 1, np.sin(1), np.cos(1)], atol=1e-6, err_msg="row 1, column 0"
    )


def test_row_and_column_tables_are_joined_patch_by_patch(rng):
    rows, columns = (rng.standard_normal((1, count, 4)).astype(np.float32) for count in (2, 3))
    joined = join_rows_and_columns(ms.Tensor(rows), ms.Tensor(columns)).asnumpy()
    assert joined.shape == (1, 6, 8)
    for row in range(2):
        for column in range(3):
            expected = np.concatenate([columns[0, column], rows[0, row]])
            np.testing.assert_array_equal(joined[0, 3 * row + column], expected)


@pytest.mark.parametrize(("grid", "prefix"), [((2, 4), 0), ((3, 2), 2)])
def test_the_relative_bias_of_a_pair_is_that_of_its_offset(rng, grid, prefix):
    cell = RelativeBias(grid, 3, prefix)
    table = rng.standard_normal((3, 2 * grid[0] - 1, 2 * grid[1] - 1)).astype(np.float32)
    assert cell.table.shape == table.shape
    cell.table.set_data(ms.Tensor(table))
    bias = cell().asnumpy()
    tokens = prefix + grid[0] * grid[1]
    assert bias.shape == (1, 3, tokens, tokens)
    assert not bias[:, :, :prefix].any() and not bias[:, :, :, :prefix].any()
    for head in range(3):
        np.testing.assert_array_equal(bias[0, head], numpy_vit.relative_bias(table[head], grid, tokens))


class Sum(nn.Cell):
    def __init__(self, bias):
        super().__init__()
        self.bias = bias

    def construct(self):
        return self.bias().sum()


def test_a_relative_bias_has_a_gradient_from_every_pair_with_its_offset():
    cell = RelativeBias((3, 2), 1, 1)
    gradient = ms.grad(Sum(cell), None, [cell.table])()[0].asnumpy()
    # (3 - |row offset|) (2 - |column offset|) pairs.
    np.testing.assert_allclose(gradient[0], np.outer([1, 2, 3, 2, 1], [1, 2, 1]))
