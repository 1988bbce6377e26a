import numpy as np

from mindvit.data.augment.draw_mixup import draw_mixup
from mindvit.data.settings import AugmentSettings

NOTHING = [1, 1, 0, 0, 0, 0]


def draws(rng, size=224, count=4000, **settings):
    mixes = [draw_mixup(AugmentSettings(**settings), (size, size), rng) for _ in range(count)]
    assert all(mix.dtype == np.float32 and mix.shape == (6,) for mix in mixes)
    return np.array(mixes)


def kinds(mixes):
    """Shares of mixup, cutmix and nothing; cutmix with an empty box, which is rare, counts as nothing."""
    nothing = (mixes == NOTHING).all(1)
    cutmix = (mixes[:, 1] == 1) & ~nothing
    return (~cutmix & ~nothing).mean(), cutmix.mean(), nothing.mean()


def test_mixup_is_beta_distributed_and_leaves_the_box_empty(rng):
    for alpha in (0.2, 0.8, 2.0):
        mixes = draws(rng, mixup=alpha)
        lam = mixes[:, 0]
        np.testing.assert_array_equal(mixes[:, 1], lam)
        assert not mixes[:, 2:].any()
        assert abs(lam.mean() - 0.5) < 0.03
        assert abs(lam.var() - 1 / (4 * (2 * alpha + 1))) < 0.01


def test_cutmix_weighs_the_targets_by_the_area_that_is_left(rng):
    mixes = draws(rng, size=56, cutmix=1.0)
    target, pixel, top, bottom, left, right = mixes.T
    assert (pixel == 1).all()
    np.testing.assert_array_equal(mixes[:, 2:], mixes[:, 2:].astype(int))
    assert (top >= 0).all() and (left >= 0).all() and (bottom <= 56).all() and (right <= 56).all()
    pasted = np.zeros((len(mixes), 56, 56), bool)
    for index, (a, b, c, d) in enumerate(mixes[:, 2:].astype(int)):
        pasted[index, a:b, c:d] = True
    np.testing.assert_allclose(target, 1 - pasted.mean((1, 2)), atol=1e-6)


def test_the_box_of_cutmix_is_a_square_about_a_uniform_centre(rng):
    _, _, top, bottom, left, right = draws(rng, size=1000, cutmix=1.0).T
    whole = (top > 0) & (bottom < 1000) & (left > 0) & (right < 1000)
    assert whole.mean() > 0.1
    np.testing.assert_array_equal((bottom - top)[whole], (right - left)[whole])
    assert set((bottom - top)[whole] % 2) == {0, 1}
    # Clipped at one border only, a box shows its centre on the other side.
    assert abs(((top + bottom) / 2).mean() - 500) < 15 and abs(((left + right) / 2).mean() - 500) < 15
    assert abs((top == 0).mean() - (bottom == 1000).mean()) < 0.05


def test_the_box_of_cutmix_has_the_proportions_of_the_image(rng):
    mixes = np.array([draw_mixup(AugmentSettings(cutmix=1.0), (400, 1000), rng) for _ in range(4000)])
    target, _, top, bottom, left, right = mixes.T
    assert bottom.max() == 400 and right.max() == 1000 and mixes.min() == 0
    np.testing.assert_allclose(target, 1 - (bottom - top) * (right - left) / 400000, atol=1e-6)
    whole = (top > 0) & (bottom < 400) & (left > 0) & (right < 1000)
    assert whole.mean() > 0.1
    # Each side is rounded down to whole pixels.
    np.testing.assert_allclose((right - left)[whole], 2.5 * (bottom - top)[whole], atol=2.5)
    assert abs(((top + bottom) / 2).mean() - 200) < 6 and abs(((left + right) / 2).mean() - 500) < 15


def test_the_unclipped_area_is_one_minus_lam(rng):
    """Beta(50, 50) stays near 1/2: the box has sides of about 0.707, and is whole where its centre is central."""
    _, _, top, bottom, left, right = draws(rng, size=1000, count=20000, cutmix=50.0).T
    whole = (top > 0) & (bottom < 1000) & (left > 0) & (right < 1000)
    area = ((bottom - top) * (right - left))[whole] / 1e6
    assert len(area) > 500
    assert abs(area.mean() - 0.5) < 0.02


def test_shares_of_mixup_and_cutmix(rng):
    np.testing.assert_allclose(kinds(draws(rng, mixup=0.8, cutmix=1.0)), (0.5, 0.5, 0), atol=0.03)
    shares = kinds(draws(rng, mixup=0.8, cutmix=1.0, mixup_switch_prob=0.2, mixup_prob=0.6))
    np.testing.assert_allclose(shares, (0.48, 0.12, 0.4), atol=0.03)


def test_one_that_is_on_alone_is_always_drawn(rng):
    np.testing.assert_allclose(kinds(draws(rng, mixup=1.0, mixup_switch_prob=1.0, count=500)), (1, 0, 0))
    np.testing.assert_allclose(kinds(draws(rng, cutmix=1.0, mixup_switch_prob=0.0, count=500)), (0, 1, 0), atol=0.01)


def test_switched_off_it_mixes_nothing(rng):
    assert (draws(rng, count=50) == NOTHING).all()
    assert (draws(rng, count=50, mixup=1.0, cutmix=1.0, mixup_prob=0.0) == NOTHING).all()


def test_a_mix_is_its_generators():
    settings = AugmentSettings(mixup=0.8, cutmix=1.0)
    first, again, other = (draw_mixup(settings, (224, 224), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
