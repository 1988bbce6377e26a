"""The feed-forward layer as one kernel."""

from mindspore import nn

from mindvit.ops.gelu import GELUForm
from mindvit.ops.operation import native_kernel


class NativeFeedForward(nn.Cell):
    """Dense, GELU, dense by the native kernels, which keep only the input of GELU for the gradient, not its output.

    Args:
        gelu: ``"tanh"`` or ``"exact"``.

    Inputs, float32: x, (..., embed_dim); weight1, (mlp_dim, embed_dim); bias1, (mlp_dim,); weight2, (embed_dim,
    mlp_dim); bias2, (embed_dim,). Outputs: y, same shape as x; the input of GELU, (..., mlp_dim). The gradient is that
    of y.
    """

    def __init__(self, gelu: GELUForm) -> None:
        super().__init__(auto_prefix=False)

        def shapes(x, weight1, bias1, weight2, bias2):
            return [*x[:-1], weight2[0]], [*x[:-1], weight1[0]]

        def gradient_shapes(x, weight1, weight2, hidden, dy):
            return x, weight1, weight1[:1], weight2, weight2[:1]

        self.forward = native_kernel(f"feed_forward_{gelu}", shapes, 2)
        self.backward = native_kernel(f"feed_forward_grad_{gelu}", gradient_shapes, 5)

    def construct(self, x, weight1, bias1, weight2, bias2):
        return self.forward(x, weight1, bias1, weight2, bias2)

    def bprop(self, x, weight1, bias1, weight2, bias2, out, dout):
        return self.backward(x, weight1, weight2, out[1], dout[0])
