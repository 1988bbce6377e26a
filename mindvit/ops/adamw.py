"""The update of AdamW, and the moments that AdamW and LAMB share."""

import math

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvit.ops.operation import Operation


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
