"""Layer normalization."""

import mindspore as ms
from mindspore import Parameter, Tensor, mint, nn, ops
from mindspore.common.initializer import initializer

from mindvit.ops.operation import Operation, native_kernel
from mindvit.ops.weight import Weight


class _NativeLayerNorm(nn.Cell):
    """Layer norm by the native kernels, which keep the mean and the deviation of each row for the gradient.

    Args:
        epsilon: added to the variance.

    Inputs: x, (..., width); gamma, beta, (width,). Outputs: y, (..., width); mean and 1 / deviation, (...). The
    gradient is that of y.
    """

    def __init__(self, epsilon: float) -> None:
        super().__init__(auto_prefix=False)
        self.epsilon = Tensor([epsilon], ms.float32)
        self.forward = native_kernel("layer_norm", lambda x, gamma, beta, epsilon: (x, x[:-1], x[:-1]), 3)
        self.backward = native_kernel("layer_norm_grad", lambda x, dy, gamma, mean, rstd: (x, gamma, gamma), 3)

    def construct(self, x, gamma, beta):
        return self.forward(x, gamma, beta, self.epsilon)

    def bprop(self, x, gamma, beta, out, dout):
        return self.backward(x, dout[0], gamma, out[1], out[2])


class LayerNorm(Operation):
    """Layer norm over the last axis, ``gamma (x - mean) / sqrt(variance + epsilon) + beta`` (Ba et al., 2016).

    Mean and variance are computed in float32, unless ``in_float32`` is False. The portable form casts a 16-bit input to
    float32 and the output back; the operator of Ascend does this within, with gamma and beta in float32. The native
    form is for float32.

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
        if self.is_native:
            self.native = _NativeLayerNorm(epsilon)

    def construct(self, x):
        gamma, beta = self.read_gamma(self.gamma), self.read_beta(self.beta)
        if not self.in_float32:
            gamma, beta = gamma.astype(x.dtype), beta.astype(x.dtype)
        if self.on_ascend:
            return mint.nn.functional.layer_norm(x, (self.width,), gamma, beta, self.epsilon)
        if self.is_native and x.dtype == ms.float32:
            return self.native(x, gamma, beta)[0]
        return self.layer_norm(x.astype(gamma.dtype), gamma, beta)[0].astype(x.dtype)
