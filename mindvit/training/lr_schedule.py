"""Learning rates, one for each step."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class ScheduleSettings:
    """The course of the learning rate: a linear warm-up to optimizer.lr, the named course, a linear cool-down."""

    name: Literal["cosine", "linear", "step", "constant", "inverse_sqrt"] = "cosine"
    """SamplingPlan between warm-up and cool-down: half a cosine or a line down to min_lr, steps, none, 1 / sqrt(step)."""
    warmup_epochs: float = 0
    """Length of the warm-up, in epochs."""
    warmup_steps: int | None = None
    """Length of the warm-up, in steps; in place of warmup_epochs."""
    warmup_lr: float = 0
    """Learning rate that the warm-up starts from."""
    min_lr: float = 0
    """Learning rate that cosine, linear and the cool-down end at, and that step and inverse_sqrt stay above."""
    cooldown_epochs: float = 0
    """Length of the cool-down, in epochs at the end of the run."""
    cooldown_steps: int | None = None
    """Length of the cool-down, in steps; in place of cooldown_epochs."""
    step_epochs: float = 30
    """Epochs between two drops (step)."""
    step_steps: int | None = None
    """Steps between two drops (step); in place of step_epochs."""
    step_factor: float = 0.1
    """What each drop multiplies the learning rate by (step)."""
    timescale_steps: int = 10000
    """Steps after which the learning rate has fallen to 1 / sqrt(2) of its peak (inverse_sqrt)."""

    def __post_init__(self) -> None:
        for part in ("warmup", "cooldown", "step"):
            epochs, steps = f"{part}_epochs", f"{part}_steps"
            if getattr(self, steps) is not None and getattr(self, epochs) != getattr(type(self), epochs):
                raise ValueError(f"schedule.{epochs} and schedule.{steps} are one length; set only one of them")
        for name in ("warmup_epochs", "warmup_steps", "warmup_lr", "min_lr", "cooldown_epochs", "cooldown_steps"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"schedule.{name} must not be negative, but is {getattr(self, name)}")
        for name in ("step_epochs", "step_steps", "timescale_steps"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ValueError(f"schedule.{name} must be above 0, not {getattr(self, name)}")
        if not 0 < self.step_factor <= 1:
            raise ValueError(f"schedule.step_factor must be above 0 and at most 1, not {self.step_factor}")


def learning_rates(settings: ScheduleSettings, lr: float, total_steps: int, steps_per_epoch: int) -> np.ndarray:
    """The learning rate of every step.

    Of ``N`` steps the first ``w`` are warm-up, the last ``c`` cool-down, and ``n = N - w - c`` lie between. A length in
    epochs is rounded to whole steps. Step ``i`` (from 0) has

    - warm-up, ``i < w``: ``warmup_lr + (lr - warmup_lr) i / w``;
    - between, ``k = i - w < n``: ``f(k)``, which is

      - cosine: ``min_lr + (lr - min_lr) (1 + cos(pi k / n)) / 2`` (Loshchilov & Hutter, 2017, without restarts),
      - linear: ``lr + (min_lr - lr) k / n``,
      - step: ``max(min_lr, lr step_factor ^ floor(k / p))`` with a drop every ``p`` steps,
      - constant: ``lr``,
      - inverse_sqrt: ``max(min_lr, lr sqrt(t / (t + k)))`` with ``t = timescale_steps`` (Zhai et al., 2022);

    - cool-down, ``j = i - w - n < c``: ``f(n) + (min_lr - f(n)) j / c``, which goes on from where the course got to;
      after cosine and linear that is ``min_lr`` throughout.

    A run that is too short keeps its beginning: one shorter than its warm-up ends within it, and a cool-down has at
    most the steps that the warm-up leaves.

    Args:
        settings: the course.
        lr: the peak.
        total_steps: steps of the run.
        steps_per_epoch: what a length in epochs is counted in.

    Returns:
        float32, (total_steps,).
    """
    warmup = _in_steps(settings.warmup_epochs, settings.warmup_steps, steps_per_epoch)
    cooldown = _in_steps(settings.cooldown_epochs, settings.cooldown_steps, steps_per_epoch)
    period = max(_in_steps(settings.step_epochs, settings.step_steps, steps_per_epoch), 1)
    rising = settings.warmup_lr + (lr - settings.warmup_lr) * np.arange(min(warmup, total_steps)) / max(warmup, 1)
    remaining = total_steps - len(rising)
    cooldown = min(cooldown, remaining)
    course = _course(settings, lr, remaining - cooldown, period)
    reached = course[-1]
    falling = reached + (settings.min_lr - reached) * np.arange(cooldown) / max(cooldown, 1)
    return np.concatenate([rising, course[:-1], falling]).astype(np.float32)


def _in_steps(epochs: float, steps: int | None, steps_per_epoch: int) -> int:
    return round(epochs * steps_per_epoch) if steps is None else steps


def _course(settings: ScheduleSettings, lr: float, length: int, period: int) -> np.ndarray:
    """f(0) to f(length): the rates between warm-up and cool-down, and the one that the cool-down starts from."""
    k = np.arange(length + 1)
    # A course of no steps has got nowhere: it stays at its peak.
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
