import math

import numpy as np
import pytest
from PIL import Image

from mindvit.data.augment.geometry import crop_and_resize, draw_flip, flip, padded_crop, random_resized_crop_box

SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
BICUBIC = Image.Resampling.BICUBIC


def boxes(width, height, scale, ratio, rng, count=3000):
    return np.array([random_resized_crop_box(width, height, scale, ratio, rng) for _ in range(count)])


def random_resized_crop(image, shape, resample, seed):
    left, top, width, height = random_resized_crop_box(*image.size, SCALE, RATIO, np.random.default_rng(seed))
    return crop_and_resize(image, (left, top, left + width, top + height), shape, resample)


def test_crops_are_inside_the_image_and_the_ranges(rng):
    left, top, width, height = boxes(500, 375, (0.2, 0.5), (0.7, 1.2), rng).T
    assert left.min() >= 0 and top.min() >= 0
    assert (left + width).max() <= 500 and (top + height).max() <= 375
    area = width * height / (500 * 375)
    assert 0.195 < area.min() < 0.22 and 0.48 < area.max() < 0.505
    ratio = width / height
    assert 0.69 < ratio.min() < 0.72 and 1.18 < ratio.max() < 1.21


def test_area_and_the_logarithm_of_the_ratio_are_uniform(rng):
    # At most 0.4 of a square image: with ratios up to 2 every crop fits, so there is no second draw.
    _, _, width, height = boxes(1000, 1000, (0.1, 0.4), (1 / 2, 2.0), rng).T
    for drawn, low, high in ((width * height / 1e6, 0.1, 0.4), (np.log(width / height), -math.log(2), math.log(2))):
        fractions = np.histogram(drawn, bins=6, range=(low, high))[0] / len(drawn)
        np.testing.assert_allclose(fractions, 1 / 6, atol=0.03)


def test_all_positions_are_equally_likely(rng):
    left, top, width, height = boxes(200, 100, (0.25, 0.25), (1.0, 1.0), rng).T  # 71 x 71 pixels
    assert (width == 71).all() and (height == 71).all()
    assert (left.min(), left.max(), top.min(), top.max()) == (0, 129, 0, 29)
    assert abs(left.mean() - 129 / 2) < 3 and abs(top.mean() - 29 / 2) < 1


@pytest.mark.parametrize(
    ("size", "ratio", "expected"),
    [
        ((900, 40), RATIO, (423, 0, 53, 40)),
        ((40, 900), RATIO, (0, 423, 40, 53)),
        ((100, 100), (0.5, 0.5), (25, 0, 50, 100)),
        ((1, 1), (3.0, 3.0), (0, 0, 1, 1)),
    ],
)
def test_if_no_crop_fits_the_crop_is_central(size, ratio, expected, rng):
    assert random_resized_crop_box(*size, (1.0, 1.0), ratio, rng) == expected


@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, BICUBIC])
def test_a_crop_is_resized_without_pixels_outside_it(values, resample):
    """Pixels outside the crop do not affect the result. It equals that of cropping first."""
    for seed in range(10):
        left, top, width, height = random_resized_crop_box(40, 30, SCALE, RATIO, np.random.default_rng(seed))
        expected = Image.fromarray(values[top : top + height, left : left + width].copy()).resize((16, 16), resample)
        crop = random_resized_crop(Image.fromarray(values), (16, 16), resample, seed)
        np.testing.assert_array_equal(np.asarray(crop), np.asarray(expected))


def test_a_padded_crop_is_the_image_shifted_over_black(rng):
    values = rng.integers(1, 256, (32, 32, 3)).astype(np.uint8)
    padded = np.pad(values, ((4, 4), (4, 4), (0, 0)))
    windows = {padded[y : y + 32, x : x + 32].tobytes(): (x, y) for x in range(9) for y in range(9)}
    crops = [np.asarray(padded_crop(Image.fromarray(values), (32, 32), BICUBIC, rng)) for _ in range(3000)]
    counts = np.zeros((9, 9))
    for crop in crops:
        counts[windows[crop.tobytes()]] += 1
    assert counts.min() > 0
    np.testing.assert_allclose(counts.sum(0) / 3000, 1 / 9, atol=0.025)
    np.testing.assert_allclose(counts.sum(1) / 3000, 1 / 9, atol=0.025)


@pytest.mark.parametrize("shape", [(12, 20), (20, 12)])
def test_a_crop_is_resized_to_height_and_width(values, shape):
    for seed in range(5):
        box = random_resized_crop_box(40, 30, SCALE, RATIO, np.random.default_rng(seed))
        left, top, width, height = box
        expected = Image.fromarray(values[top : top + height, left : left + width].copy()).resize(shape[::-1], BICUBIC)
        crop = random_resized_crop(Image.fromarray(values), shape, BICUBIC, seed)
        assert np.asarray(crop).shape == (*shape, 3)
        np.testing.assert_array_equal(np.asarray(crop), np.asarray(expected))


def test_a_rectangular_padded_crop_pads_each_side_by_an_eighth_of_its_length(rng):
    values = rng.integers(1, 256, (16, 40, 3)).astype(np.uint8)
    padded = np.pad(values, ((2, 2), (5, 5), (0, 0)))
    windows = {padded[y : y + 16, x : x + 40].tobytes(): (y, x) for y in range(5) for x in range(11)}
    offsets = [
        windows[np.asarray(padded_crop(Image.fromarray(values), (16, 40), BICUBIC, rng)).tobytes()] for _ in range(1500)
    ]
    assert set(offsets) == set(windows.values())


def test_a_padded_crop_resizes_to_height_and_width(image):
    for shape in ((12, 20), (30, 20)):
        resized = padded_crop(image, shape, BICUBIC, np.random.default_rng(0))
        same = padded_crop(image.resize(shape[::-1], BICUBIC), shape, BICUBIC, np.random.default_rng(0))
        assert np.asarray(resized).shape == (*shape, 3)
        assert resized.tobytes() == same.tobytes()


def test_a_padded_crop_first_resizes(image):
    resized = padded_crop(image, (20, 20), BICUBIC, np.random.default_rng(0))
    same = padded_crop(image.resize((20, 20), BICUBIC), (20, 20), BICUBIC, np.random.default_rng(0))
    assert resized.size == (20, 20)
    assert resized.tobytes() == same.tobytes()


def test_flip_mirrors_half_of_the_images(image, values, rng):
    assert flip(image).tobytes() == values[:, ::-1].tobytes()
    assert abs(sum(draw_flip(rng) for _ in range(1000)) - 500) < 60


def test_a_crop_depends_only_on_its_generator(image):
    def crop(seed):
        return random_resized_crop(image, (16, 16), BICUBIC, seed).tobytes()

    assert crop(1) == crop(1)
    assert len({crop(seed) for seed in range(20)}) == 20
