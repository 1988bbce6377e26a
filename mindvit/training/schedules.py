"""Learning rates, one for each step."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ScheduleSettings:
    """The course of the learning rate: a linear warm-up to optimizer.lr, then half a cosine down to min_lr."""

    warmup_epochs: float = 0.0
    """Length of the warm-up, in epochs."""
    warmup_lr: float = 0.0
    """Learning rate that the warm-up starts from."""
    min_lr: float = 0.0
    """Learning rate that the cosine ends at."""

    def __post_init__(self) -> None:
        for name in ("warmup_epochs", "warmup_lr", "min_lr"):
            if getattr(self, name) < 0:
                raise ValueError(f"schedule.{name} must not be negative, but is {getattr(self, name)}")


def learning_rates(settings: ScheduleSettings, lr: float, epochs: int, steps_per_epoch: int) -> np.ndarray:
    """The learning rate of every step: linear warm-up, then cosine (Loshchilov & Hutter, 2017, without restarts).

    With ``w`` warm-up steps of ``n``, step ``i`` (from 0) has ``warmup_lr + (lr - warmup_lr) i / w`` while ``i < w``,
    then ``min_lr + (lr - min_lr) (1 + cos(pi (i - w) / (n - w))) / 2``. A run shorter than its warm-up ends within it.

    Returns:
        float32, (epochs * steps_per_epoch,).
    """
    total = epochs * steps_per_epoch
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    rising = settings.warmup_lr + (lr - settings.warmup_lr) * np.arange(min(warmup, total)) / max(warmup, 1)
    remaining = max(total - warmup, 0)
    progress = np.arange(remaining) / max(remaining, 1)
    falling = settings.min_lr + (lr - settings.min_lr) * (1 + np.cos(math.pi * progress)) / 2
    return np.concatenate([rising, falling]).astype(np.float32)
