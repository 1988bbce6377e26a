"""The dense layer."""

import mindspore as ms
from mindspore import Parameter, nn, ops
from mindspore.common.initializer import Initializer, initializer

from mindvit.ops.operation import Operation, native_kernel
from mindvit.ops.weight import Weight


class _OrderedDense(nn.Cell):
    """A dense layer by the operator of Ascend, with the gradients of the weights before that of the input.

    MindSpore orders kernels by what needs them. Nothing needs the gradients of weights before the optimizer, so they
    may come after the backward pass of the other blocks, and keep the activations until then.

    Inputs: x, (..., in_channels); weight, (out_channels, in_channels); bias, (out_channels,); all of one dtype. Output:
    (..., out_channels).
    """

    def __init__(self) -> None:
        super().__init__()
        self.gradient_of_input = ops.MatMul()
        self.gradient_of_weight = ops.MatMul(transpose_a=True)

    def construct(self, x, weight, bias):
        return ops.dense(x, weight, bias)

    def bprop(self, x, weight, bias, out, dout):
        rows = dout.reshape(-1, dout.shape[-1])
        d_weight = self.gradient_of_weight(rows, x.reshape(-1, x.shape[-1]))
        d_bias = rows.sum(0)
        rows = ops.depend(rows, (d_weight, d_bias))
        return self.gradient_of_input(rows, weight).reshape(x.shape), d_weight, d_bias


class _NativeDense(nn.Cell):
    """A dense layer by the native kernels. One kernel computes all gradients, so that none is left for later.

    Inputs: x, (..., in_channels); weight, (out_channels, in_channels); bias, (out_channels,). Output: (...,
    out_channels).
    """

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.forward = native_kernel("dense", lambda x, weight, bias: [*x[:-1], weight[0]])
        self.backward = native_kernel("dense_grad", lambda x, weight, dy: (x, weight, weight[:1]), 3)

    def construct(self, x, weight, bias):
        return self.forward(x, weight, bias)

    def bprop(self, x, weight, bias, out, dout):
        return self.backward(x, weight, dout)


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
        self.ordered = _OrderedDense()
        if self.is_native:
            self.native = _NativeDense()
        self.is_recomputed = False
        """Whether the cell belongs to a recomputed block. MindSpore takes a written gradient there for a part of the
        forward pass and would store all activations, so it is left to MindSpore."""

    def weight_and_bias(self):
        """The weight, (out_channels, in_channels), and the bias, (out_channels,)."""
        return self.read_weight(self.weight), self.read_bias(self.bias)

    def construct(self, x):
        weight, bias = self.weight_and_bias()
        weight, bias = weight.astype(x.dtype), bias.astype(x.dtype)
        if self.on_ascend:
            return ops.dense(x, weight, bias) if self.is_recomputed else self.ordered(x, weight, bias)
        if self.is_native and x.dtype == ms.float32:
            return self.native(x, weight, bias)
        shape = x.shape[:-1] + (self.out_channels,)  # noqa: RUF005 (graph mode parses no star)
        return self.bias_add(self.matmul(x.reshape(-1, self.in_channels), weight), bias).reshape(shape)
