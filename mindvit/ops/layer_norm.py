"""Layer normalization."""

from mindspore import Parameter, mint, ops
from mindspore.common.initializer import initializer

from mindvit.ops.operation import Operation
from mindvit.ops.weight import Weight


class LayerNorm(Operation):
    """Layer norm over the last axis, ``gamma (x - mean) / sqrt(variance + epsilon) + beta`` (Ba et al., 2016).

    Mean and variance are computed in float32, unless ``in_float32`` is False. The portable form casts a 16-bit input to
    float32 and the output back; the operator of Ascend does this within, with gamma and beta in float32.

    Args:
        width: size of the last axis.
        epsilon: added to the variance.

    Input: (..., width). Output: same shape and dtype. The parameters are ``gamma`` and ``beta``, (width,).
    """

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.width = width
        self.gamma = Parameter(initializer("ones", (width,)), name="gamma")
        self.beta = Parameter(initializer("zeros", (width,)), name="beta")
        self.read_gamma, self.read_beta = Weight(), Weight()
        self.in_float32 = True
        self.set_epsilon(epsilon)

    def set_epsilon(self, epsilon: float) -> None:
        """Changes epsilon. Call it before the cell is compiled."""
        self.epsilon = epsilon
        self.layer_norm = ops.LayerNorm(-1, -1, epsilon)

    def construct(self, x):
        gamma, beta = self.read_gamma(self.gamma), self.read_beta(self.beta)
        if not self.in_float32:
            gamma, beta = gamma.astype(x.dtype), beta.astype(x.dtype)
        if self.on_ascend:
            return mint.nn.functional.layer_norm(x, (self.width,), gamma, beta, self.epsilon)
        return self.layer_norm(x.astype(gamma.dtype), gamma, beta)[0].astype(x.dtype)
