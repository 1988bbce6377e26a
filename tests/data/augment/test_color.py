import itertools

import numpy as np
from PIL import Image, ImageEnhance

from mindvit.data.augment.color import color_jitter


def test_the_factors_are_within_the_strength(rng):
    """Saturation and contrast have no effect on a gray image, so the result gives the brightness factor."""
    gray = Image.new("RGB", (4, 4), (120, 120, 120))
    factors = np.array([np.asarray(color_jitter(gray, 0.4, rng))[0, 0, 0] / 120 for _ in range(2000)])
    assert 0.59 < factors.min() < 0.62 and 1.38 < factors.max() < 1.401
    fractions = np.histogram(factors, bins=4, range=(0.6, 1.4))[0] / 2000
    np.testing.assert_allclose(fractions, 1 / 4, atol=0.04)


def test_contrast_varies_like_brightness(rng):
    """The difference of two gray values, divided by their mean, gives the contrast factor."""
    values = np.full((2, 2, 3), 80, np.uint8)
    values[1] = 160
    results = np.array([np.asarray(color_jitter(Image.fromarray(values), 0.3, rng)) for _ in range(1500)], float)
    factors = (results[:, 1, 0, 0] - results[:, 0, 0, 0]) / results[:, :, 0, 0].mean(1) / (80 / 120)
    assert 0.68 < factors.min() < 0.73 and 1.27 < factors.max() < 1.34


def test_saturation_varies_independently(rng):
    """The chroma of a uniform image, divided by its luma, gives contrast times saturation."""
    red = Image.new("RGB", (2, 2), (160, 100, 100))
    results = np.array([np.asarray(color_jitter(red, 0.3, rng))[0, 0] for _ in range(3000)], float)
    factors = (results[:, 0] - results[:, 1]) / (results @ [0.299, 0.587, 0.114]) / (60 / 117.94)
    assert abs(factors.mean() - 1) < 0.02
    # Standard deviation of the product of two factors; a single factor has 0.173.
    assert abs(factors.std() - np.sqrt((1 + 0.6**2 / 12) ** 2 - 1)) < 0.015


def test_all_orders_occur(image):
    """The expected draws are three factors, then an order."""
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    orders = set()
    for seed in range(60):
        same_rng = np.random.default_rng(seed)
        factors = same_rng.uniform(0.6, 1.4, 3)
        result = color_jitter(image, 0.4, np.random.default_rng(seed)).tobytes()
        for order in itertools.permutations(range(3)):
            expected = image
            for index in order:
                expected = enhancers[index](expected).enhance(factors[index])
            if expected.tobytes() == result:
                orders.add(order)
                break
        else:
            raise AssertionError(f"seed {seed}: no order of the three operations gives the result")
    assert len(orders) == 6


def test_strength_0_changes_nothing(image, values, rng):
    np.testing.assert_array_equal(np.asarray(color_jitter(image, 0.0, rng)), values)
