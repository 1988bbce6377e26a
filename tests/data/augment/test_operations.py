import numpy as np
import pytest
from PIL import Image

from mindvit.data.augment.operations import apply_op

FILL = (10, 20, 30)
FILTERS = [Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]


def apply(name, image, amount=0.0, resample=Image.Resampling.BICUBIC):
    result = apply_op(name, image, amount, FILL, resample)
    assert result.mode == "RGB" and result.size == image.size
    return np.asarray(result)


def luma(values):
    return np.rint(values @ [0.299, 0.587, 0.114])[..., None]


def blended(values, plain, factor):
    return np.clip(plain + factor * (values.astype(float) - plain), 0, 255)


def test_identity_and_invert(image, values):
    np.testing.assert_array_equal(apply("Identity", image), values)
    np.testing.assert_array_equal(apply("Invert", image), 255 - values)


@pytest.mark.parametrize("threshold", [0, 26, 127.5, 128, 256])
def test_solarize_inverts_from_the_threshold_up(image, values, threshold):
    expected = np.where(values < threshold, values, 255 - values)
    np.testing.assert_array_equal(apply("Solarize", image, threshold), expected)


@pytest.mark.parametrize("amount", [0, 55, 110])
def test_solarize_add_brightens_the_darker_half(image, values, amount):
    expected = np.where(values < 128, np.minimum(values.astype(int) + amount, 255), values)
    np.testing.assert_array_equal(apply("SolarizeAdd", image, amount), expected)


@pytest.mark.parametrize("bits", range(9))
def test_posterize_keeps_the_highest_bits(image, values, bits):
    step = 2 ** (8 - bits)
    np.testing.assert_array_equal(apply("Posterize", image, bits), values.astype(int) // step * step)


def test_autocontrast_stretches_each_channel(rng):
    values = (rng.integers(0, 100, (20, 20, 3)) + np.array([10, 60, 150])).astype(np.uint8)
    low, high = values.min((0, 1)).astype(float), values.max((0, 1)).astype(float)
    expected = (values - low) / (high - low) * 255
    np.testing.assert_allclose(apply("AutoContrast", Image.fromarray(values)), expected, atol=1)


def test_equalize_gives_each_value_its_rank(rng):
    values = (rng.integers(0, 64, (60, 80, 3)) ** 2 / 32).astype(np.uint8)
    expected = np.empty_like(values)
    for channel in range(3):
        plane = values[..., channel]
        below = np.array([(plane < value).sum() for value in range(256)])
        step = (plane < plane.max()).sum() // 255
        expected[..., channel] = np.minimum((below[plane] + step // 2) // step, 255)
    equalized = apply("Equalize", Image.fromarray(values))
    np.testing.assert_array_equal(equalized, expected)
    assert abs(equalized.mean() - 127.5) < 3 < abs(values.mean() - 127.5)


@pytest.mark.parametrize("change", [-0.9, -0.3, 0.0, 0.5, 0.9])
def test_enhancements_interpolate_and_extrapolate_from_the_plain_image(image, values, change):
    for name, plain in (("Brightness", 0), ("Contrast", luma(values).mean()), ("Color", luma(values))):
        expected = blended(values, plain, 1 + change)
        np.testing.assert_allclose(apply(name, image, change), expected, atol=2, err_msg=name)


@pytest.mark.parametrize("change", [-0.9, 0.0, 0.9])
def test_sharpness_extrapolates_from_the_smoothed_image(image, values, change):
    windows = np.lib.stride_tricks.sliding_window_view(values.astype(float), (3, 3), axis=(0, 1))
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    inner = values[1:-1, 1:-1]
    expected = blended(inner, np.rint((windows * kernel).sum((-1, -2))), 1 + change)
    np.testing.assert_allclose(apply("Sharpness", image, change)[1:-1, 1:-1], expected, atol=2)


@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize("pixels", [-7, 0, 5, 45])
def test_translations_move_right_and_down_over_the_fill_color(image, values, pixels, resample):
    expected = np.empty_like(values)
    expected[:] = FILL
    for x in range(40):
        if 0 <= x - pixels < 40:
            expected[:, x] = values[:, x - pixels]
    np.testing.assert_array_equal(apply("TranslateX", image, pixels, resample), expected)
    rotated = Image.fromarray(np.ascontiguousarray(values.swapaxes(0, 1)))
    np.testing.assert_array_equal(apply("TranslateY", rotated, pixels, resample), expected.swapaxes(0, 1))


def test_a_translation_by_half_a_pixel_averages_neighbors(image, values):
    expected = (values[:, :-1].astype(float) + values[:, 1:]) / 2
    moved = apply("TranslateX", image, 0.5, Image.Resampling.BILINEAR)
    np.testing.assert_allclose(moved[:, 1:], expected, atol=1)


@pytest.mark.parametrize("tangent", [-0.3, 0.25])
def test_shears_move_each_line_in_proportion(image, values, tangent):
    expected = np.empty_like(values)
    expected[:] = FILL
    for y in range(30):
        for x in range(40):
            # The center of pixel (x, y) plus the shear gives the source position, from the image corner.
            source = int(np.floor(x + 0.5 + tangent * (y + 0.5)))
            if 0 <= source < 40:
                expected[y, x] = values[y, source]
    sheared = apply("ShearX", image, tangent, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(sheared, expected)
    rotated = Image.fromarray(np.ascontiguousarray(values.swapaxes(0, 1)))
    sheared = apply("ShearY", rotated, tangent, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(sheared, expected.swapaxes(0, 1))


def test_rotate_turns_counterclockwise_about_the_center(rng):
    values = rng.integers(0, 256, (21, 21, 3)).astype(np.uint8)
    rotated = apply("Rotate", Image.fromarray(values), 90.0)
    np.testing.assert_array_equal(rotated, np.rot90(values))
    slanted = apply("Rotate", Image.fromarray(values), 45.0)
    np.testing.assert_array_equal(slanted[[0, 0, -1, -1], [0, -1, 0, -1]], [FILL] * 4)
    np.testing.assert_array_equal(slanted[10, 10], values[10, 10])


@pytest.mark.parametrize("name", ["Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"])
def test_the_given_filter_is_used(image, name):
    results = [apply(name, image, 0.2, resample).tobytes() for resample in FILTERS]
    assert len(set(results)) == 3


@pytest.mark.parametrize("resample", FILTERS)
def test_rotate_is_that_of_pillow(image, resample):
    for degrees in (-400.5, -90, -13.25, 0, 0.5, 45, 90, 135.1, 180, 359.9):
        expected = image.rotate(degrees, resample, fillcolor=FILL)
        np.testing.assert_array_equal(apply("Rotate", image, degrees, resample), np.asarray(expected))
