"""Learning-rate schedules."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class ScheduleSettings:
    """Learning-rate schedule: linear warmup to optimizer.lr, the named schedule, linear cooldown."""

    name: Literal["cosine", "linear", "step", "constant", "inverse_sqrt"] = "cosine"
    """Schedule between warmup and cooldown. cosine and linear fall to min_lr, step falls by step_factor, inverse_sqrt
    falls with the root of the step."""
    warmup_epochs: float = 0
    """Length of the warmup, in epochs."""
    warmup_steps: int | None = None
    """Length of the warmup, in steps, in place of warmup_epochs. null uses warmup_epochs."""
    warmup_lr: float = 0
    """Learning rate at the first step of the warmup."""
    min_lr: float = 0
    """Final learning rate of cosine, linear and the cooldown, and lower limit of step and inverse_sqrt."""
    cooldown_epochs: float = 0
    """Length of the cooldown at the end of the run, in epochs."""
    cooldown_steps: int | None = None
    """Length of the cooldown, in steps, in place of cooldown_epochs. null uses cooldown_epochs."""
    step_epochs: float = 30
    """Epochs between two drops of the learning rate (step)."""
    step_steps: int | None = None
    """Steps between two drops (step), in place of step_epochs. null uses step_epochs."""
    step_factor: float = 0.1
    """Factor of the learning rate at each drop (step)."""
    timescale_steps: int = 10000
    """Steps after which the learning rate is 1 / sqrt(2) of its peak (inverse_sqrt)."""

    def __post_init__(self) -> None:
        for part in ("warmup", "cooldown", "step"):
            epochs, steps = f"{part}_epochs", f"{part}_steps"
            if getattr(self, steps) is not None and getattr(self, epochs) != getattr(type(self), epochs):
                raise ValueError(
                    f"schedule.{epochs} and schedule.{steps} both set the same length; set only one of them"
                )
        for name in ("warmup_epochs", "warmup_steps", "warmup_lr", "min_lr", "cooldown_epochs", "cooldown_steps"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"schedule.{name} must not be negative, not {getattr(self, name)}")
        for name in ("step_epochs", "step_steps", "timescale_steps"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ValueError(f"schedule.{name} must be above 0, not {getattr(self, name)}")
        if not 0 < self.step_factor <= 1:
            raise ValueError(f"schedule.step_factor must be above 0 and at most 1, not {self.step_factor}")


def learning_rates(settings: ScheduleSettings, lr: float, total_steps: int, steps_per_epoch: int) -> np.ndarray:
    """The learning rate of every step.

    Of ``N`` steps, the first ``w`` are the warmup, the last ``c`` are the cooldown, and ``n = N - w - c`` are between
    them. A length in epochs is rounded to whole steps. The learning rate of step ``i`` (from 0) is

    - in the warmup, ``i < w``: ``warmup_lr + (lr - warmup_lr) i / w``;
    - between, ``k = i - w < n``: ``f(k)``, which is

      - cosine: ``min_lr + (lr - min_lr) (1 + cos(pi k / n)) / 2`` (Loshchilov & Hutter, 2017, without restarts),
      - linear: ``lr + (min_lr - lr) k / n``,
      - step: ``max(min_lr, lr step_factor ^ floor(k / p))`` with a drop every ``p`` steps,
      - constant: ``lr``,
      - inverse_sqrt: ``max(min_lr, lr sqrt(t / (t + k)))`` with ``t = timescale_steps`` (Zhai et al., 2022);

    - in the cooldown, ``j = i - w - n < c``: ``f(n) + (min_lr - f(n)) j / c``, from the last value of ``f``; after
      cosine and linear that is ``min_lr`` throughout.

    A run that is too short keeps its start. A run shorter than its warmup ends within the warmup. The cooldown has at
    most the steps that the warmup leaves.

    Args:
        settings: the schedule.
        lr: peak learning rate.
        total_steps: steps of the run.
        steps_per_epoch: steps in an epoch.

    Returns:
        Learning rates, float32 (total_steps,).
    """
    warmup = _in_steps(settings.warmup_epochs, settings.warmup_steps, steps_per_epoch)
    cooldown = _in_steps(settings.cooldown_epochs, settings.cooldown_steps, steps_per_epoch)
    period = max(_in_steps(settings.step_epochs, settings.step_steps, steps_per_epoch), 1)
    rising = settings.warmup_lr + (lr - settings.warmup_lr) * np.arange(min(warmup, total_steps)) / max(warmup, 1)
    remaining = total_steps - len(rising)
    cooldown = min(cooldown, remaining)
    between = _between(settings, lr, remaining - cooldown, period)
    last = between[-1]
    falling = last + (settings.min_lr - last) * np.arange(cooldown) / max(cooldown, 1)
    return np.concatenate([rising, between[:-1], falling]).astype(np.float32)


def _in_steps(epochs: float, steps: int | None, steps_per_epoch: int) -> int:
    return round(epochs * steps_per_epoch) if steps is None else steps


def _between(settings: ScheduleSettings, lr: float, length: int, period: int) -> np.ndarray:
    """f(0) to f(length): the learning rates between warmup and cooldown, and the one that the cooldown starts from."""
    k = np.arange(length + 1)
    # With a length of 0, f(0) is the peak.
    progress = k / max(length, 1)
    if settings.name == "cosine":
        return settings.min_lr + (lr - settings.min_lr) * (1 + np.cos(math.pi * progress)) / 2
    if settings.name == "linear":
        return lr + (settings.min_lr - lr) * progress
    if settings.name == "step":
        return np.maximum(settings.min_lr, lr * settings.step_factor ** (k // period))
    if settings.name == "inverse_sqrt":
        return np.maximum(settings.min_lr, lr * np.sqrt(settings.timescale_steps / (settings.timescale_steps + k)))
    return np.full(length + 1, lr)
