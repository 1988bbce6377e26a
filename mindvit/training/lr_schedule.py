"""Learning-rate schedules."""

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mindvit.errors import UserError
from mindvit.models.setting_checks import check_values

MAX_STEPS = 100_000_000
"""The greatest number of steps of a run. Their learning rates take 400 MB."""

_CHUNK = 1_000_000


@dataclass(frozen=True)
class ScheduleSettings:
    """Learning-rate schedule.

    Linear warmup to optimizer.lr, the named schedule, linear cooldown.
    """

    name: Literal["cosine", "linear", "step", "constant", "inverse_sqrt"] = "cosine"
    """Schedule between warmup and cooldown. cosine and linear fall to min_lr, step falls by step_factor, inverse_sqrt
    falls with the root of the step."""
    interval: Literal["step", "epoch"] = "step"
    """When the learning rate changes: at each step, as in Google's code; or at the start of each epoch, as in timm and
    MindSpore's cosine_decay_lr."""
    warmup_epochs: float = 0
    """Length of the warmup, in epochs."""
    warmup_steps: int | None = None
    """Length of the warmup, in steps, in place of warmup_epochs. null uses warmup_epochs."""
    warmup_lr: float = 0
    """Learning rate at the first step of the warmup."""
    warmup_prefix: bool = True
    """true: the schedule starts after the warmup. false: the schedule starts with the run, and the warmup replaces its
    first part, as in timm and DeiT."""
    delay_epochs: float = 0
    """Epochs by which warmup and schedule start late; the end of the schedule is cut off. DeiT's code has 1."""
    hold_epochs: float = 0
    """Epochs at the peak before the schedule starts to fall."""
    decay_epochs: float | None = None
    """Epochs in which cosine and linear fall to min_lr. null uses the time until the cooldown."""
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
        check_values(self, "schedule.")
        for part in ("warmup", "cooldown", "step"):
            epochs, steps = f"{part}_epochs", f"{part}_steps"
            if getattr(self, steps) is not None and getattr(self, epochs) != getattr(type(self), epochs):
                raise ValueError(
                    f"schedule.{epochs} and schedule.{steps} both set the same length; set only one of them"
                )
        lengths = ("warmup_epochs", "warmup_steps", "delay_epochs", "hold_epochs", "cooldown_epochs", "cooldown_steps")
        for part in (*lengths, "warmup_lr", "min_lr"):
            self._check(part, getattr(self, part) is None or getattr(self, part) >= 0, "must not be negative")
        for part in ("step_epochs", "step_steps", "timescale_steps", "decay_epochs"):
            self._check(part, getattr(self, part) is None or getattr(self, part) > 0, "must be above 0")
        self._check("step_factor", 0 < self.step_factor <= 1, "must be above 0 and at most 1")
        if self.decay_epochs is not None and self.name not in ("cosine", "linear"):
            raise ValueError(f"schedule.decay_epochs is for cosine and linear, not for {self.name}; set it to null")

    def _check(self, name: str, is_valid: bool, rule: str) -> None:
        if not is_valid:
            raise ValueError(f"schedule.{name} {rule}, not {getattr(self, name)}")


def learning_rates(settings: ScheduleSettings, lr: float, total_steps: int, steps_per_epoch: int) -> np.ndarray:
    """The learning rate of every step.

    Of ``N`` steps, the first ``w`` are the warmup and the last ``c`` are the cooldown. A length in epochs is rounded to
    whole steps. The schedule ``f`` starts at step ``s``: ``s = w`` with ``warmup_prefix``, else 0; ``hold_epochs`` are
    added to it. The learning rate of step ``i`` (from 0) is

    - in the warmup, ``i < w``: ``warmup_lr + (lr - warmup_lr) i / w``;
    - then, ``k = max(i - s, 0)``, up to the cooldown: ``f(k)``, which is, with ``n = N - c - s`` or ``decay_epochs``,

      - cosine: ``min_lr + (lr - min_lr) (1 + cos(pi k / n)) / 2`` (Loshchilov & Hutter, 2017, without restarts),
      - linear: ``lr + (min_lr - lr) k / n``,
      - step: ``max(min_lr, lr step_factor ^ floor(k / p))`` with a drop every ``p`` steps,
      - constant: ``lr``,
      - inverse_sqrt: ``max(min_lr, lr sqrt(t / (t + k)))`` with ``t = timescale_steps`` (Zhai et al., 2022);

      cosine and linear stay at ``min_lr`` from ``k = n``;
    - in the cooldown, ``j = i - (N - c)``: ``F + (min_lr - F) j / c``, where ``F = f(N - c - s)``.

    With ``interval`` epoch, all steps of an epoch have the learning rate of the epoch's first step. With
    ``delay_epochs`` of ``d`` steps, step ``i`` has the learning rate of step ``max(i - d, 0)``.

    A run that is too short keeps its start. A run shorter than its warmup ends within the warmup. The cooldown has at
    most the steps that the warmup leaves.

    How other programs correspond, with lengths in epochs:

    - timm, ``CosineLRScheduler(t_initial=E, warmup_t=W)`` and ``StepLRScheduler``, as its training script calls them:
      ``interval`` epoch, ``warmup_prefix`` false; for ``cooldown_epochs`` of C, ``train.epochs`` is E + C.
    - DeiT: as timm, with ``delay_epochs`` 1, because its script sets epoch e's learning rate at the end of epoch e.
    - MindSpore, ``cosine_decay_lr(decay_epoch=E)``, and PyTorch's ``CosineAnnealingLR`` and ``StepLR`` with one call
      per epoch: ``interval`` epoch.
    - Google (vision_transformer, big_vision), MAE and Transformers' linear schedule: the defaults.

    Args:
        settings: the schedule.
        lr: peak learning rate.
        total_steps: steps of the run.
        steps_per_epoch: steps in an epoch.

    Returns:
        Learning rates, float32 (total_steps,).

    Raises:
        UserError: if there are more than ``MAX_STEPS`` steps.
    """
    if total_steps > MAX_STEPS:
        raise UserError(
            f"the run would have {total_steps:,} steps, {steps_per_epoch:,} per epoch, but a run has at most "
            f"{MAX_STEPS:,} steps; set a smaller train.epochs or train.steps"
        )
    rates = np.empty(total_steps, np.float32)
    # In chunks, because the float64 arrays in between take many times the memory of the result.
    for first in range(0, total_steps, _CHUNK):
        steps = _schedule_steps(settings, np.arange(first, min(first + _CHUNK, total_steps)), steps_per_epoch)
        rates[first : first + len(steps)] = _rates(settings, lr, steps, total_steps, steps_per_epoch)
    return rates


def warn_of_warmup_only(settings: ScheduleSettings, total_steps: int, steps_per_epoch: int) -> None:
    """Warns if the whole run lies in the warmup, so that the learning rate never reaches its peak."""
    warmup = _in_steps(settings.warmup_epochs, settings.warmup_steps, steps_per_epoch)
    last = int(_schedule_steps(settings, np.array([total_steps - 1]), steps_per_epoch)[0])
    if last >= warmup:
        return
    name = "warmup_epochs" if settings.warmup_steps is None else "warmup_steps"
    delay = f" after schedule.delay_epochs {settings.delay_epochs:g}" if settings.delay_epochs else ""
    warnings.warn(
        f"the whole run lies in the warmup: the warmup takes {warmup:,} steps (schedule.{name} "
        f"{getattr(settings, name):g}){delay}, the run {total_steps:,}. The learning rate never reaches its peak; set "
        f"a smaller schedule.{name} or train longer",
        stacklevel=2,
    )


def _schedule_steps(settings: ScheduleSettings, steps: np.ndarray, steps_per_epoch: int) -> np.ndarray:
    """The step of the schedule, int64, at each step of the run."""
    if settings.interval == "epoch":
        steps = steps // steps_per_epoch * steps_per_epoch
    return np.maximum(steps - _in_steps(settings.delay_epochs, None, steps_per_epoch), 0)


def _rates(
    settings: ScheduleSettings, lr: float, steps: np.ndarray, total_steps: int, steps_per_epoch: int
) -> np.ndarray:
    """The learning rates of some steps of the schedule, as float64."""
    warmup = _in_steps(settings.warmup_epochs, settings.warmup_steps, steps_per_epoch)
    remaining = total_steps - min(warmup, total_steps)
    cooldown = min(_in_steps(settings.cooldown_epochs, settings.cooldown_steps, steps_per_epoch), remaining)
    start = min(warmup, total_steps) if settings.warmup_prefix else 0
    start += _in_steps(settings.hold_epochs, None, steps_per_epoch)
    end = total_steps - cooldown
    length = max(end - start, 0)
    if settings.decay_epochs is not None:
        length = max(_in_steps(settings.decay_epochs, None, steps_per_epoch), 1)
    # Once more after the steps: the value that the cooldown starts from.
    k = np.maximum(np.append(steps, end) - start, 0)
    between = _between(settings, lr, k, length, steps_per_epoch)
    rising = settings.warmup_lr + (lr - settings.warmup_lr) * steps / max(warmup, 1)
    falling = between[-1] + (settings.min_lr - between[-1]) * (steps - end) / max(cooldown, 1)
    return np.where(steps < warmup, rising, np.where(steps < end, between[:-1], falling))


def _in_steps(epochs: float, steps: int | None, steps_per_epoch: int) -> int:
    # Arrays hold int64. Beyond any run, a longer length makes no difference.
    return min(round(epochs * steps_per_epoch) if steps is None else steps, 2**62)


def _between(settings: ScheduleSettings, lr: float, k: np.ndarray, length: int, steps_per_epoch: int) -> np.ndarray:
    """The schedule after k of its ``length`` steps."""
    # With a length of 0, f(0) is the peak.
    progress = np.minimum(k, length) / max(length, 1)
    if settings.name == "cosine":
        return settings.min_lr + (lr - settings.min_lr) * (1 + np.cos(math.pi * progress)) / 2
    if settings.name == "linear":
        return lr + (settings.min_lr - lr) * progress
    if settings.name == "step":
        period = max(_in_steps(settings.step_epochs, settings.step_steps, steps_per_epoch), 1)
        return np.maximum(settings.min_lr, lr * settings.step_factor ** (k // period))
    if settings.name == "inverse_sqrt":
        timescale = float(settings.timescale_steps)
        return np.maximum(settings.min_lr, lr * np.sqrt(timescale / (timescale + k)))
    return np.full(len(k), lr)
