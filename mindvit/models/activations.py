"""The GELU activation in its two published forms."""

import math
from typing import Literal, get_args

import mindspore as ms
from mindspore import nn, ops

GELUForm = Literal["tanh", "exact"]


class TanhGELU(nn.Cell):
    """GELU's tanh form, ``0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`` (Hendrycks & Gimpel, 2016).

    Computed as ``x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3))``, the same function because
    ``1 + tanh(z) = 2 sigmoid(2 z)``. On CPU the stock ``nn.GELU()`` takes about seven times as long (70 ms
    against 9 ms on a float32 tensor of (8, 197, 3072), two x86-64 cores), and ``ops.tanh`` is off by 1e-4 for
    arguments beyond 5, where ``ops.sigmoid`` stays within 1e-6. The gradient is written out, so that training
    keeps the input alone instead of every intermediate product.

    Input and output: any shape, floating point.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = 2.0 * math.sqrt(2.0 / math.pi)
        self.cubic = 0.044715

    def construct(self, x):
        return x * ops.sigmoid(self.scale * x * (1.0 + self.cubic * x * x))

    def bprop(self, x, out, dout):
        square = x * x
        gate = ops.sigmoid(self.scale * x * (1.0 + self.cubic * square))
        slope = self.scale * (1.0 + 3.0 * self.cubic * square)
        return (dout * gate * (1.0 + x * (1.0 - gate) * slope),)


class ExactGELU(nn.Cell):
    """GELU itself, ``x Phi(x)`` with the normal distribution ``Phi(x) = 0.5 (1 + erf(x / sqrt(2)))``.

    Computed as ``x sigmoid(x P(x^2))`` with ``P(u)^2 = a + (b + c u) tanh(p u + q)``, which comes within 3.0e-7 of it
    for every x; ``tests/references/fit_gelu.py`` finds the five coefficients. In MindSpore's float32 on CPU the value
    is off by 7.6e-7 at most, the gradient by 1.5e-6. It takes 1.4 times as long as the tanh form, where the stock
    ``nn.GELU(approximate=False)`` takes 3.8 times (13, 9.5 and 36 ms on a float32 tensor of (8, 197, 3072),
    ``scripts/measure_gelu.py``), and has no error function in it, which MindSpore cannot export to ONNX. The gradient
    is written out, so that training keeps the input alone.

    Input and output: any shape, floating point; computed in float32, so that nothing overflows in float16.
    """

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = 2.21196946, 0.38885483, 0.25916665
        self.p, self.q = 0.08708035, 1.29475153
        self.density = 1.0 / math.sqrt(2.0 * math.pi)

    def construct(self, x):
        wide = x.astype(ms.float32)
        return (wide * self._distribution(wide, wide * wide)).astype(x.dtype)

    def bprop(self, x, out, dout):
        wide = x.astype(ms.float32)
        square = wide * wide
        slope = self._distribution(wide, square) + self.density * wide * ops.exp(-0.5 * square)
        return ((dout.astype(ms.float32) * slope).astype(x.dtype),)

    def _distribution(self, x, square):
        # What ops.tanh is off by beyond 5 falls on |x| > 6, where the sigmoid is 0 or 1.
        gate = ops.tanh(self.p * square + self.q)
        return ops.sigmoid(x * ops.sqrt(self.a + (self.b + self.c * square) * gate))


def make_gelu(form: GELUForm) -> nn.Cell:
    """Returns the GELU cell of the given ``form``: ``"tanh"`` or ``"exact"``.

    Raises:
        ValueError: if the form is neither.
    """
    if form == "tanh":
        return TanhGELU()
    if form == "exact":
        return ExactGELU()
    raise ValueError(f"gelu must be one of {', '.join(get_args(GELUForm))}, not {form!r}")
