"""Mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019): the random parameters of a batch."""

import math

import numpy as np

from mindvit.data.settings import AugmentSettings


def draw_mixup(settings: AugmentSettings, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draws the parameters for mixing a batch with the same batch in reversed order.

    For the batch x and the reversed batch r, the pixels become ``x * w + r * (1 - w)``. Here w is 0 inside the box
    (rows top <= y < bottom, columns left <= x < right) and pixel_weight outside. The targets t become
    ``t * target_weight + reversed(t) * (1 - target_weight)``.

    Mixup draws lam ~ Beta(alpha, alpha) and uses it for both weights; the box is empty. CutMix draws lam in the same
    way, with pixel_weight 1. The sides of its box are those of the image times sqrt(1 - lam), and its center is
    uniform. The box is clipped to the image, and target_weight is the fraction of the image outside the box.

    Args:
        settings: ``mixup`` and ``cutmix`` are the alphas (0 disables), ``mixup_prob`` is the probability of mixing the
            batch, ``mixup_switch_prob`` the probability of CutMix if both are enabled.
        shape: height and width of the images, in pixels.
        rng: random number generator.

    Returns:
        target_weight, pixel_weight, top, bottom, left, right; float32 (6,). 1, 1, 0, 0, 0, 0 means no mixing.
    """
    if settings.mixup == settings.cutmix == 0 or rng.random() >= settings.mixup_prob:
        return np.array([1, 1, 0, 0, 0, 0], np.float32)
    use_cutmix = settings.cutmix > 0 and (settings.mixup == 0 or rng.random() < settings.mixup_switch_prob)
    alpha = settings.cutmix if use_cutmix else settings.mixup
    lam = rng.beta(alpha, alpha)
    if not use_cutmix:
        return np.array([lam, lam, 0, 0, 0, 0], np.float32)
    sides = np.array([int(side * math.sqrt(1 - lam)) for side in shape])
    # For an odd side, half the side is rounded down before the center and up after it, so the box keeps its size.
    edges = rng.integers(shape) + np.stack([-(sides // 2), (sides + 1) // 2])
    (top, left), (bottom, right) = edges.clip(0, shape).tolist()
    outside = 1 - (bottom - top) * (right - left) / (shape[0] * shape[1])
    return np.array([outside, 1, top, bottom, left, right], np.float32)
