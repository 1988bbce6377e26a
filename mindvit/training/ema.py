"""Exponential moving average (EMA) of the weights."""

from dataclasses import dataclass

import mindspore as ms
from mindspore import Tensor, ops

from mindvit.models.setting_checks import check_values
from mindvit.models.vit import ViT
from mindvit.ops.moving_average import MovingAverage
from mindvit.training.averaged_model import AveragedModel
from mindvit.training.flat_weights import FlatWeights


@dataclass(frozen=True)
class EMASettings:
    """Exponential moving average (EMA) of the weights.

    It is evaluated and saved beside the weights.
    """

    decay: float | None = None
    """Decay per step, such as 0.9999. null disables EMA."""
    warmup: bool = False
    """Limit the decay of step t (from 0) to (1 + t) / (10 + t), so that the average forgets the first steps sooner."""

    def __post_init__(self) -> None:
        check_values(self, "ema.")
        if self.decay is not None and not 0 < self.decay < 1:
            raise ValueError(f"ema.decay must lie between 0 and 1, not {self.decay}")


class ExponentialMovingAverage(AveragedModel):
    """Exponential moving average (Polyak & Juditsky, 1992): ``a <- d a + (1 - d) w`` after each step.

    Args:
        network: the network in training; the average starts with its weights.
        decay: d.
        warmup: whether d is at most ``(1 + t) / (10 + t)`` at step t.
        flat: as in ``AveragedModel``.

    Input: t, the number of steps taken before this one, int32 scalar.
    """

    def __init__(self, network: ViT, decay: float, warmup: bool = False, flat: FlatWeights | None = None) -> None:
        super().__init__(network, "ema", flat)
        self.decay = Tensor(decay, ms.float32)
        self.warmup = warmup
        self.update_averages = MovingAverage(self.averages, self.weights)

    def construct(self, step):
        decay = self.decay
        if self.warmup:
            time = step.astype(ms.float32)
            decay = ops.minimum(decay, (1.0 + time) / (10.0 + time))
        return self.update_averages(decay)
