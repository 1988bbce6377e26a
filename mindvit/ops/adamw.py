"""The update of AdamW, and the moments that AdamW and LAMB share."""

import math
from collections.abc import Sequence

import mindspore as ms
from mindspore import ParameterTuple, Tensor, nn, ops

from mindvit.ops.operation import Operation, native_kernel


class BiasCorrections(Operation):
    """The bias corrections of both moments of Adam, ``1 - beta^step``.

    For ``beta`` near 1, neither a power nor MindSpore's ``expm1`` on CPU is accurate enough (the latter is off by
    1e-5). So the portable form computes ``1 - exp(-y)`` by its series for a small ``y``, then doubles from ``y`` to
    ``64 y`` by ``c <- c (2 - c)``, which adds no error. On Ascend, where this would be 30 launches of scalars, it is
    ``expm1``.

    Args:
        betas: the decay rates of the moments, float32 scalars.

    Input: step, a float32 scalar, 1 at the first update. Output: two float32 scalars.
    """

    def __init__(self, betas: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        # The moments decay by the float32 values of the betas, in which 1 - 0.999 has a relative error of 1e-5. The
        # bias correction must have the same error.
        self.log_betas = Tensor([math.log(beta.asnumpy().item()) for beta in betas], ms.float32)

    def construct(self, step):
        if self.on_ascend:
            total = -ops.expm1(step * self.log_betas)
            return total[0], total[1]
        y = ops.minimum(-step * self.log_betas, 16.0) / 64
        total = y
        for divisor in (6, 5, 4, 3, 2):
            total = y * (1 - total / divisor)
        for _ in range(6):
            total = total * (2 - total)
        return total[0], total[1]


class NativeAdamW(nn.Cell):
    """Updates all weights and their moments in place, by one native kernel. The formulas are those of ``AdamWUpdate``.

    Args:
        weights: the weights, float32 parameters.
        exp_avg, exp_avg_sq: their first and second moments.
        lr_scales: factor of the learning rate for each weight.
        weight_decays: weight decay of each weight.

    Inputs: gradients, a tuple of float32 tensors; corrected_lr, beta1, beta2, eps, lr and factor, float32 scalars: the
    gradients are multiplied by the factor first. Output: a scalar without meaning.
    """

    def __init__(
        self,
        weights: ParameterTuple,
        exp_avg: ParameterTuple,
        exp_avg_sq: ParameterTuple,
        lr_scales: Sequence[float],
        weight_decays: Sequence[float],
    ) -> None:
        super().__init__(auto_prefix=False)
        self.weights, self.exp_avg, self.exp_avg_sq = weights, exp_avg, exp_avg_sq
        self.lr_scales, self.weight_decays = Tensor(lr_scales, ms.float32), Tensor(weight_decays, ms.float32)
        count = len(weights)
        self.native = native_kernel("adamw", lambda *shapes: [], written=3 * count, read=count + 3)

    def construct(self, gradients, corrected_lr, beta1, beta2, eps, lr, factor):
        scalars = ops.stack((corrected_lr, beta1, beta2, eps, lr, factor))
        tensors = self.weights + self.exp_avg + self.exp_avg_sq + gradients
        return self.native(*tensors, scalars, self.lr_scales, self.weight_decays)


class AdamWUpdate(nn.Cell):
    """Updates one weight and its moments in place, by the fused operator ``ops.Adam`` of all devices.

    ``w <- (1 - lr decay) w``, then Adam's update with ``lr`` and ``eps`` as they are, without bias correction.

    Inputs: weight, first and second moment, gradient, all of one shape; corrected_lr, float32 scalar; beta1, beta2,
    eps, float32 scalars; shrinkage, ``lr decay``, a float32 scalar, or None without weight decay.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shrink = ops.ApplyGradientDescent()
        self.adam = ops.Adam()
        self.zero = Tensor(0, ms.float32)

    def construct(self, weight, exp_avg, exp_avg_sq, gradient, corrected_lr, beta1, beta2, eps, shrinkage=None):
        if shrinkage is not None:
            self.shrink(weight, shrinkage, weight)
        self.adam(weight, exp_avg, exp_avg_sq, self.zero, self.zero, corrected_lr, beta1, beta2, eps, gradient)
        return gradient
