"""The dense layer."""

from mindspore import Parameter, ops
from mindspore.common.initializer import Initializer, initializer

from mindvit.ops.operation import Operation
from mindvit.ops.weight import Weight


class Dense(Operation):
    """A dense layer, ``x weight^T + bias``.

    On Ascend it is one operator for a tensor of any rank; MindSpore's ``nn.Dense``, which is the portable form, takes
    two. The weights are cast to the dtype of the input, unless a buffer holds them in that dtype.

    Args:
        in_channels: width of the input.
        out_channels: width of the output.
        weight_init: initializer of the weight.
        bias_init: initializer of the bias.

    Input: x, (..., in_channels). Output: (..., out_channels), in the dtype of x. The parameters are ``weight``,
    (out_channels, in_channels), and ``bias``, (out_channels,).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        weight_init: str | Initializer,
        bias_init: str | Initializer = "zeros",
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.weight = Parameter(initializer(weight_init, (out_channels, in_channels)), name="weight")
        self.bias = Parameter(initializer(bias_init, (out_channels,)), name="bias")
        self.read_weight, self.read_bias = Weight(), Weight()
        self.matmul = ops.MatMul(transpose_b=True)
        self.bias_add = ops.BiasAdd()

    def construct(self, x):
        weight, bias = self.read_weight(self.weight).astype(x.dtype), self.read_bias(self.bias).astype(x.dtype)
        if self.on_ascend:
            return ops.dense(x, weight, bias)
        shape = x.shape[:-1] + (self.out_channels,)  # noqa: RUF005 (graph mode parses no star)
        return self.bias_add(self.matmul(x.reshape(-1, self.in_channels), weight), bias).reshape(shape)
