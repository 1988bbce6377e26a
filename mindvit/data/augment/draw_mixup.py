"""Mixup (Zhang et al., 2018) and cutmix (Yun et al., 2019): which of them a batch gets, and how much."""

import math

import numpy as np

from mindvit.data.settings import AugmentSettings


def draw_mixup(settings: AugmentSettings, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draws how a batch is mixed with itself in reversed order.

    With the batch x and its reverse r, the pixels become ``x * w + r * (1 - w)``, where w is 0 inside the box (rows
    top <= y < bottom, columns left <= x < right) and pixel_weight outside; the targets t become
    ``t * target_weight + reversed(t) * (1 - target_weight)``.

    Mixup draws both weights as one lam ~ Beta(alpha, alpha) and leaves the box empty. Cutmix draws lam likewise and
    leaves pixel_weight at 1; its box has the image's sides times sqrt(1 - lam) and a uniform centre and is clipped to
    the image, and target_weight is the share of the image that stays outside.

    Args:
        settings: ``mixup`` and ``cutmix`` are the alphas (0: never), ``mixup_switch_prob`` is the probability of cutmix
            where both are on, ``mixup_prob`` that of mixing at all.
        shape: height and width of the images, in pixels.
        rng: where the draws come from.

    Returns:
        target_weight, pixel_weight, top, bottom, left, right; float32 (6,). 1, 1, 0, 0, 0, 0 mixes nothing.
    """
    if settings.mixup == settings.cutmix == 0 or rng.random() >= settings.mixup_prob:
        return np.array([1, 1, 0, 0, 0, 0], np.float32)
    cut = settings.cutmix > 0 and (settings.mixup == 0 or rng.random() < settings.mixup_switch_prob)
    alpha = settings.cutmix if cut else settings.mixup
    lam = rng.beta(alpha, alpha)
    if not cut:
        return np.array([lam, lam, 0, 0, 0, 0], np.float32)
    sides = np.array([int(side * math.sqrt(1 - lam)) for side in shape])
    # An odd side keeps its last pixel: half of it is rounded down before the centre and up behind it.
    edges = rng.integers(shape) + np.stack([-(sides // 2), (sides + 1) // 2])
    (top, left), (bottom, right) = edges.clip(0, shape).tolist()
    outside = 1 - (bottom - top) * (right - left) / (shape[0] * shape[1])
    return np.array([outside, 1, top, bottom, left, right], np.float32)
