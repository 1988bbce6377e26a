import numpy as np
import pytest

from mindvit.data.augment.erasing import random_erasing

OUTSIDE = 100.0  # Far outside the range of the normal noise.


@pytest.fixture
def blank():
    values = np.full((3, 80, 60), OUTSIDE, np.float32)
    values.flags.writeable = False
    return values


def box(erased):
    """Top, bottom, left and right of the erased box."""
    rows, columns = np.nonzero((erased != OUTSIDE).any(0))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def test_one_box_of_all_channels_is_filled_with_normal_noise(blank, rng):
    noise = []
    for _ in range(200):
        erased = random_erasing(blank, 1.0, rng)
        assert erased.dtype == np.float32 and erased.shape == blank.shape
        top, bottom, left, right = box(erased)
        inside = erased[:, top:bottom, left:right]
        assert (inside != OUTSIDE).all()
        assert (erased == OUTSIDE).sum() == erased.size - inside.size
        noise.append(inside.ravel())
    noise = np.concatenate(noise)
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01
    assert abs((noise**4).mean() - 3) < 0.1
    assert (blank == OUTSIDE).all()


def test_pixels_and_channels_differ(blank, rng):
    erased = random_erasing(blank, 1.0, rng)
    top, bottom, left, right = box(erased)
    inside = erased[:, top:bottom, left:right]
    assert len(np.unique(inside)) == inside.size


def test_area_shape_and_position_of_the_boxes(rng):
    values = np.full((1, 120, 120), OUTSIDE, np.float32)
    top, bottom, left, right = np.array([box(random_erasing(values, 1.0, rng)) for _ in range(3000)]).T
    height, width = bottom - top, right - left
    area = height * width / 120**2
    assert 0.017 < area.min() < 0.03 and 0.32 < area.max() < 0.34
    # All boxes fit, except for those with the most extreme aspect ratios.
    np.testing.assert_allclose(np.histogram(area, bins=4, range=(0.02, 1 / 3))[0] / 3000, 1 / 4, atol=0.035)
    ratio = height / width
    assert 0.26 < ratio.min() < 0.33 and 3.0 < ratio.max() < 3.8
    assert abs(np.log(ratio).mean()) < 0.06 and abs(np.log(ratio).std() - np.log(1 / 0.3) / np.sqrt(3)) < 0.04
    assert top.min() == left.min() == 0 and bottom.max() == right.max() == 120
    assert abs((top + bottom).mean() / 2 - 60) < 2 and abs((left + right).mean() / 2 - 60) < 2


def test_the_fraction_of_erased_images_is_the_probability(blank, rng):
    fraction = np.mean([random_erasing(blank, 0.25, rng) is not blank for _ in range(3000)])
    assert abs(fraction - 0.25) < 0.03


def test_probability_0_changes_nothing(blank, rng):
    assert all(random_erasing(blank, 0.0, rng) is blank for _ in range(50))


def test_the_box_depends_only_on_its_generator(blank):
    first, again, other = (random_erasing(blank, 1.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
