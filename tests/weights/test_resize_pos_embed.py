import numpy as np
import pytest
from scipy.ndimage import zoom

from mindvit.weights.resize_pos_embed import resize_grid, resize_pos_embed
from tests.weights.published import PublishedFile


@pytest.mark.parametrize("size", ["9x11", "3x2", "7x2", "1x1", "5x6"])
def test_bicubic_is_the_antialiased_filter_of_pytorch(size):
    published = PublishedFile("resized")
    resized = resize_grid(published["grid"], tuple(map(int, size.split("x"))), "bicubic")
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, published[size], rtol=0, atol=1e-6 * np.abs(published["grid"]).max())


def test_bilinear_aligns_corners():
    line = np.array([0.0, 1.0, 4.0], np.float32)[:, None, None]
    np.testing.assert_allclose(resize_grid(line, (5, 1), "bilinear").ravel(), [0, 0.5, 1, 2.5, 4], atol=1e-6)
    square = np.array([[0.0, 2.0], [4.0, 10.0]], np.float32)[:, :, None]
    expected = [[0, 1, 2], [2, 4, 6], [4, 7, 10]]
    np.testing.assert_allclose(resize_grid(square, (3, 3), "bilinear")[:, :, 0], expected, atol=1e-6)


@pytest.mark.parametrize("size", [(9, 11), (3, 2), (7, 2)])
def test_bilinear_is_the_zoom_of_scipy_as_in_googles_code(rng, size):
    grid = rng.standard_normal((5, 4, 3)).astype(np.float32)
    resized = resize_grid(grid, size, "bilinear")
    for channel in range(3):
        np.testing.assert_allclose(
            resized[:, :, channel], zoom(grid[:, :, channel], (size[0] / 5, size[1] / 4), order=1), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("method", ["bicubic", "bilinear"])
def test_a_grid_of_the_same_size_is_unchanged(rng, method):
    grid = rng.standard_normal((3, 4, 5)).astype(np.float32)
    assert resize_grid(grid, (3, 4), method).tobytes() == grid.tobytes()


@pytest.mark.parametrize("method", ["bicubic", "bilinear"])
@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_rows_of_prefix_tokens_are_unchanged_and_patches_are_in_row_order(rng, method, prefix):
    table = rng.standard_normal((1, prefix + 6, 4)).astype(np.float32)
    resized = resize_pos_embed(table, (2, 3), (4, 5), method)
    assert resized.shape == (1, prefix + 20, 4)
    assert resized[:, :prefix].tobytes() == table[:, :prefix].tobytes()
    grid = np.array([[table[0, prefix + 3 * row + column] for column in range(3)] for row in range(2)])
    expected = resize_grid(grid, (4, 5), method)
    for row in range(4):
        for column in range(5):
            np.testing.assert_array_equal(resized[0, prefix + 5 * row + column], expected[row, column])
