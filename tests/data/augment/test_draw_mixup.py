import numpy as np

from mindvit.data.augment.draw_mixup import draw_mixup
from mindvit.data.settings import AugmentSettings

NOTHING = [1, 1, 0, 0, 0, 0]


def draws(rng, size=224, count=4000, **settings):
    augment = AugmentSettings(**settings)
    mixes = [draw_mixup(augment, (size, size), rng) for _ in range(count)]
    assert all(mix.dtype == np.float32 and mix.shape == (6,) for mix in mixes)
    return np.array(mixes)


def proportions(mixes):
    """Fractions of Mixup, CutMix and no mixing. CutMix with an empty box, which is rare, counts as no mixing."""
    nothing = (mixes == NOTHING).all(1)
    cutmix = (mixes[:, 1] == 1) & ~nothing
    return (~cutmix & ~nothing).mean(), cutmix.mean(), nothing.mean()


def test_mixup_is_beta_distributed_with_an_empty_box(rng):
    for alpha in (0.2, 0.8, 2.0):
        mixes = draws(rng, mixup=alpha)
        lam = mixes[:, 0]
        np.testing.assert_array_equal(mixes[:, 1], lam)
        assert not mixes[:, 2:].any()
        assert abs(lam.mean() - 0.5) < 0.03
        assert abs(lam.var() - 1 / (4 * (2 * alpha + 1))) < 0.01


def test_cutmix_weights_the_targets_by_the_area_outside_the_box(rng):
    mixes = draws(rng, size=56, cutmix=1.0)
    target, pixel, top, bottom, left, right = mixes.T
    assert (pixel == 1).all()
    np.testing.assert_array_equal(mixes[:, 2:], mixes[:, 2:].astype(int))
    assert (top >= 0).all() and (left >= 0).all() and (bottom <= 56).all() and (right <= 56).all()
    pasted = np.zeros((len(mixes), 56, 56), bool)
    for index, (a, b, c, d) in enumerate(mixes[:, 2:].astype(int)):
        pasted[index, a:b, c:d] = True
    np.testing.assert_allclose(target, 1 - pasted.mean((1, 2)), atol=1e-6)


def test_the_cutmix_box_is_a_square_with_a_uniform_center(rng):
    _, _, top, bottom, left, right = draws(rng, size=1000, cutmix=1.0).T
    unclipped = (top > 0) & (bottom < 1000) & (left > 0) & (right < 1000)
    assert unclipped.mean() > 0.1
    np.testing.assert_array_equal((bottom - top)[unclipped], (right - left)[unclipped])
    assert set((bottom - top)[unclipped] % 2) == {0, 1}
    # The center of a clipped box is shifted; both borders clip equally often.
    assert abs(((top + bottom) / 2).mean() - 500) < 15 and abs(((left + right) / 2).mean() - 500) < 15
    assert abs((top == 0).mean() - (bottom == 1000).mean()) < 0.05


def test_the_cutmix_box_has_the_aspect_ratio_of_the_image(rng):
    augment = AugmentSettings(cutmix=1.0)
    mixes = np.array([draw_mixup(augment, (400, 1000), rng) for _ in range(4000)])
    target, _, top, bottom, left, right = mixes.T
    assert bottom.max() == 400 and right.max() == 1000 and mixes.min() == 0
    np.testing.assert_allclose(target, 1 - (bottom - top) * (right - left) / 400000, atol=1e-6)
    unclipped = (top > 0) & (bottom < 400) & (left > 0) & (right < 1000)
    assert unclipped.mean() > 0.1
    # Each side is rounded down to whole pixels.
    np.testing.assert_allclose((right - left)[unclipped], 2.5 * (bottom - top)[unclipped], atol=2.5)
    assert abs(((top + bottom) / 2).mean() - 200) < 6 and abs(((left + right) / 2).mean() - 500) < 15


def test_the_unclipped_area_is_one_minus_lam(rng):
    """Beta(50, 50) is close to 1/2: the sides of the box are about 0.707, and a box near the center is not clipped."""
    _, _, top, bottom, left, right = draws(rng, size=1000, count=20000, cutmix=50.0).T
    unclipped = (top > 0) & (bottom < 1000) & (left > 0) & (right < 1000)
    area = ((bottom - top) * (right - left))[unclipped] / 1e6
    assert len(area) > 500
    assert abs(area.mean() - 0.5) < 0.02


def test_proportions_of_mixup_and_cutmix(rng):
    np.testing.assert_allclose(proportions(draws(rng, mixup=0.8, cutmix=1.0)), (0.5, 0.5, 0), atol=0.03)
    result = proportions(draws(rng, mixup=0.8, cutmix=1.0, mixup_switch_prob=0.2, mixup_prob=0.6))
    np.testing.assert_allclose(result, (0.48, 0.12, 0.4), atol=0.03)


def test_if_only_one_is_enabled_it_is_always_used(rng):
    np.testing.assert_allclose(proportions(draws(rng, mixup=1.0, mixup_switch_prob=1.0, count=500)), (1, 0, 0))
    np.testing.assert_allclose(
        proportions(draws(rng, cutmix=1.0, mixup_switch_prob=0.0, count=500)), (0, 1, 0), atol=0.01
    )


def test_disabled_mixup_mixes_nothing(rng):
    assert (draws(rng, count=50) == NOTHING).all()
    assert (draws(rng, count=50, mixup=1.0, cutmix=1.0, mixup_prob=0.0) == NOTHING).all()


def test_a_mix_depends_only_on_its_generator():
    settings = AugmentSettings(mixup=0.8, cutmix=1.0)
    first, again, other = (draw_mixup(settings, (224, 224), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
