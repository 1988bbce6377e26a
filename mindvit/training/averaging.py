"""Averages of the weights over the steps or epochs of a run."""

from dataclasses import dataclass

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindvit.models.vit import ViT


@dataclass(frozen=True)
class AverageSettings:
    """Averages of the weights, kept beside them, evaluated and saved. Each takes the memory of the weights once."""

    ema_decay: float | None = None
    """Exponential moving average: what a step keeps of it, such as 0.9999; null keeps no such average."""
    ema_warmup: bool = False
    """Let the decay of step t (from 0) be at most (1 + t) / (10 + t), so that the start is forgotten sooner."""
    swa_start_epoch: int | None = None
    """Stochastic weight averaging: the first epoch whose last weights count; null keeps no such average."""

    def __post_init__(self) -> None:
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"average.ema_decay must lie between 0 and 1, not {self.ema_decay}")
        if self.swa_start_epoch is not None and self.swa_start_epoch < 1:
            raise ValueError(f"average.swa_start_epoch must be at least 1, not {self.swa_start_epoch}")


class _Average(nn.Cell):
    """A second network whose weights are an average of the first's.

    Being a network of its own it is evaluated and saved like any other, and the first's weights are never moved.

    Args:
        network: the network in training.
        name: prefix of the names of the average's parameters in this cell.
    """

    def __init__(self, network: ViT, name: str) -> None:
        super().__init__(auto_prefix=False)
        self.network = ViT(network.config)
        self.weights = ParameterTuple(network.get_parameters())
        own = []
        for average, weight in zip(self.network.get_parameters(), self.weights, strict=True):
            average.set_data(weight.clone())
            average.name = f"{name}.{weight.name}"
            average.requires_grad = False
            own.append(average)
        self.averages = ParameterTuple(own)

    def tensors(self) -> dict[str, Parameter]:
        """The averages by the names of the weights."""
        return {weight.name: average for weight, average in zip(self.weights, self.averages, strict=True)}


class ExponentialAverage(_Average):
    """Exponential moving average (Polyak & Juditsky, 1992): ``a <- d a + (1 - d) w`` after each step.

    Args:
        network: the network in training; the average begins with its weights.
        decay: d.
        warmup: whether d is at most ``(1 + t) / (10 + t)`` at step t.

    Input: t, how many steps were made before, int32 scalar.
    """

    def __init__(self, network: ViT, decay: float, warmup: bool = False) -> None:
        super().__init__(network, "ema")
        self.decay = Tensor(decay, ms.float32)
        self.warmup = warmup

    def construct(self, step):
        decay = self.decay
        if self.warmup:
            time = step.astype(ms.float32)
            decay = ops.minimum(decay, (1.0 + time) / (10.0 + time))
        for index in range(len(self.weights)):
            average = self.averages[index]
            ops.assign(average, average * decay + self.weights[index] * (1.0 - decay))
        return decay


class StochasticAverage(_Average):
    """Stochastic weight averaging (Izmailov et al., 2018): the mean of the weights at several moments.

    Each call takes the present weights in: ``a <- a + (w - a) / (n + 1)`` where n counts the calls before.
    """

    def __init__(self, network: ViT) -> None:
        super().__init__(network, "swa")
        self.count = Parameter(Tensor(0, ms.int32), name="swa_count", requires_grad=False)

    @property
    def taken(self) -> int:
        """How often weights were taken in."""
        return int(self.count.asnumpy())

    @property
    def has_begun(self) -> bool:
        """Whether the average holds any weights yet."""
        return self.taken > 0

    def construct(self):
        share = 1.0 / (self.count + 1).astype(ms.float32)
        for index in range(len(self.weights)):
            average = self.averages[index]
            ops.assign(average, average + (self.weights[index] - average) * share)
        ops.assign_add(self.count, Tensor(1, ms.int32))
        return share
