import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindvit.models import PatchEmbedding
from tests import numpy_vit

SHAPES = {
    "square": (12, 4, None),
    "wide": ((8, 12), 4, None),
    "overlapping": (10, 4, 3),
    "tall_overlapping": ((13, 7), 3, 2),
    "every_pixel": ((5, 6), 3, 1),
}


def filled(shape, rng):
    image, patch, stride = SHAPES[shape]
    cell = PatchEmbedding(image, patch, 3, 5, stride)
    shapes = {parameter.name: parameter.shape for parameter in cell.get_parameters()}
    weights = numpy_vit.random_weights(shapes, rng, 0.3)
    for parameter in cell.get_parameters():
        parameter.set_data(ms.Tensor(weights[parameter.name]))
    sides = image if isinstance(image, tuple) else (image, image)
    return cell, weights, rng.standard_normal((2, 3, *sides)).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_patches_are_projected_row_by_row(rng, shape):
    cell, weights, images = filled(shape, rng)
    kernel, bias = weights["conv.weight"].astype(np.float64), weights["conv.bias"]
    expected = numpy_vit.patches(images.astype(np.float64), kernel, bias, SHAPES[shape][2])
    assert cell.num_patches == expected.shape[1] == cell.grid[0] * cell.grid[1]
    np.testing.assert_allclose(cell(ms.Tensor(images)).asnumpy(), expected, atol=1e-5)


class Stock(nn.Cell):
    """The cell's own convolution, computed by MindSpore."""

    def __init__(self, cell):
        super().__init__()
        self.conv = cell.conv

    def construct(self, x):
        batch = x.shape[0]
        return self.conv(x).reshape(batch, 5, -1).transpose(0, 2, 1)


@pytest.mark.parametrize("shape", ["wide", "tall_overlapping"])
def test_the_result_and_its_slopes_are_the_stock_convolutions(rng, shape):
    cell, _, images = filled(shape, rng)
    slopes = ms.Tensor(rng.standard_normal((2, cell.num_patches, 5)).astype(np.float32))
    results = []
    for layer in (cell, Stock(cell)):
        results.append(layer(ms.Tensor(images)))
        of_input, of_weights = ms.grad(_Weighted(layer), 0, cell.trainable_params())(ms.Tensor(images), slopes)
        results[-1] = [value.asnumpy() for value in (results[-1], of_input, *of_weights)]
    for ours, stock in zip(*results, strict=True):
        assert np.abs(stock).max() > 0.1
        np.testing.assert_allclose(ours, stock, atol=1e-4)


class _Weighted(nn.Cell):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def construct(self, x, slopes):
        return (self.layer(x) * slopes).sum()
