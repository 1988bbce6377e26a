"""Stochastic weight averaging (SWA)."""

import warnings
from dataclasses import dataclass

import mindspore as ms
from mindspore import Parameter, Tensor, ops

from mindvit.models.setting_checks import check_values
from mindvit.models.vit import ViT
from mindvit.training.averaged_model import AveragedModel


@dataclass(frozen=True)
class SWASettings:
    """Stochastic weight averaging (SWA) over the last epochs.

    It is evaluated and saved beside the weights.
    """

    start_epoch: int | None = None
    """First epoch, from 1, whose final weights enter the average. null disables SWA."""

    def __post_init__(self) -> None:
        check_values(self, "swa.")
        if self.start_epoch is not None and self.start_epoch < 1:
            raise ValueError(f"swa.start_epoch must be at least 1, not {self.start_epoch}")

    def warn_if_beyond(self, epochs: int) -> None:
        """Warns if no epoch of a run enters the average."""
        if self.start_epoch is not None and self.start_epoch > epochs:
            warnings.warn(
                f"swa.start_epoch {self.start_epoch} is after the last epoch, {epochs}: no weights are averaged. Set a "
                "smaller swa.start_epoch or train longer",
                stacklevel=2,
            )


class StochasticWeightAverage(AveragedModel):
    """Stochastic weight averaging (Izmailov et al., 2018): the mean of the weights at the end of several epochs.

    Each call adds the current weights: ``a <- a + (w - a) / (n + 1)``, where n is the number of calls before.
    """

    def __init__(self, network: ViT) -> None:
        super().__init__(network, "swa")
        self.count = Parameter(Tensor(0, ms.int32), name="swa_count", requires_grad=False)

    @property
    def num_averaged(self) -> int:
        """How many sets of weights the average holds."""
        return int(self.count.asnumpy())

    @property
    def has_begun(self) -> bool:
        """Whether the average holds any weights yet."""
        return self.num_averaged > 0

    def construct(self):
        factor = 1.0 / (self.count + 1).astype(ms.float32)
        for index in range(len(self.weights)):
            average = self.averages[index]
            ops.assign(average, average + (self.weights[index] - average) * factor)
        ops.assign_add(self.count, Tensor(1, ms.int32))
        return factor
