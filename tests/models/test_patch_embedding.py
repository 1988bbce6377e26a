import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindvit.models import PatchEmbedding
from tests import numpy_vit
from tests.models.constructions import randomize

pytestmark = pytest.mark.eager

SHAPES = {
    "square": (12, 4, None),
    "wide": ((8, 12), 4, None),
    "overlapping": (10, 4, 3),
    "tall_overlapping": ((13, 7), 3, 2),
    "every_pixel": ((5, 6), 3, 1),
}


def cell_and_images(shape, rng):
    image, patch, stride = SHAPES[shape]
    cell = PatchEmbedding(image, patch, 3, 5, stride)
    weights = randomize(cell, rng)
    sides = image if isinstance(image, tuple) else (image, image)
    return cell, weights, rng.standard_normal((2, 3, *sides)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_patches_are_projected_row_by_row(rng, shape):
    cell, weights, images = cell_and_images(shape, rng)
    expected = numpy_vit.patches(
        images.astype(np.float64), weights["conv.weight"], weights["conv.bias"], SHAPES[shape][2]
    )
    assert cell.num_patches == expected.shape[1] == cell.grid[0] * cell.grid[1]
    np.testing.assert_allclose(cell(ms.Tensor(images)).asnumpy(), expected, atol=1e-5)


class StockConvolution(nn.Cell):
    """The convolution of the cell, computed by MindSpore."""

    def __init__(self, cell, shape):
        super().__init__()
        stride, patch = SHAPES[shape][2], SHAPES[shape][1]
        self.conv = nn.Conv2d(3, 5, patch, stride or patch, pad_mode="valid", has_bias=True)
        self.conv.weight, self.conv.bias = cell.conv.weight, cell.conv.bias

    def construct(self, x):
        batch = x.shape[0]
        return self.conv(x).reshape(batch, 5, -1).transpose(0, 2, 1)


@pytest.mark.graph
@pytest.mark.slow
@pytest.mark.parametrize("shape", ["wide", "tall_overlapping"])
def test_output_and_gradients_equal_those_of_the_stock_convolution(rng, shape):
    cell, _, images = cell_and_images(shape, rng)
    cotangent = ms.Tensor(rng.standard_normal((2, cell.num_patches, 5)).astype(np.float32))
    results = []
    for layer in (cell, StockConvolution(cell, shape)):
        output = layer(ms.Tensor(images))
        gradient = ms.grad(_Weighted(layer), 0, cell.trainable_params())
        of_input, of_weights = gradient(ms.Tensor(images), cotangent)
        results.append([value.asnumpy() for value in (output, of_input, *of_weights)])
    for found, stock in zip(*results, strict=True):
        assert np.abs(stock).max() > 0.1
        np.testing.assert_allclose(found, stock, atol=1e-4)


class _Weighted(nn.Cell):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def construct(self, x, cotangent):
        return (self.layer(x) * cotangent).sum()
