"""The GELU activation in its two published forms."""

import math
from typing import Literal, get_args

import mindspore as ms
from mindspore import nn, ops
from mindspore.ops.auto_generate import GeluExt

from mindvit.ops.operation import target_device

GELUForm = Literal["tanh", "exact"]


class TanhGELU(nn.Cell):
    """The tanh approximation of GELU, ``0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`` (Hendrycks & Gimpel, 2016).

    It is computed as ``x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3))``. This is the same function, because
    ``1 + tanh(z) = 2 sigmoid(2 z)``. On CPU the stock ``nn.GELU()`` takes about seven times as long (70 ms
    against 9 ms on a float32 tensor of (8, 197, 3072), two x86-64 cores). ``ops.tanh`` has an error of 1e-4 for
    arguments beyond 5, while the error of ``ops.sigmoid`` stays within 1e-6. The gradient is written explicitly, so
    that training stores only the input instead of every intermediate product.

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
    """Exact GELU, ``x Phi(x)`` with the normal distribution ``Phi(x) = 0.5 (1 + erf(x / sqrt(2)))``.

    It is computed as ``x sigmoid(x P(x^2))`` with ``P(u)^2 = a + (b + c u) tanh(p u + q)``. The error of this formula
    is at most 3.0e-7 for every x; ``tests/references/fit_gelu.py`` fits the five coefficients. In MindSpore's float32
    on CPU the error is at most 7.6e-7, and 1.5e-6 for the gradient. It takes 1.4 times as long as the tanh
    approximation, while the stock ``nn.GELU(approximate=False)`` takes 3.8 times as long (13, 9.5 and 36 ms on a
    float32 tensor of (8, 197, 3072), ``mindvit benchmark operators``). It contains no error function, which MindSpore
    cannot export to ONNX. The gradient is written explicitly, so that training stores only the input.

    Input and output: any shape, floating point. The computation is in float32, so that float16 does not overflow.
    """

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = 2.21196946, 0.38885483, 0.25916665
        self.p, self.q = 0.08708035, 1.29475153
        self.density = 1.0 / math.sqrt(2.0 * math.pi)

    def construct(self, x):
        wide = x.astype(ms.float32)
        return (wide * self._cdf(wide, wide * wide)).astype(x.dtype)

    def bprop(self, x, out, dout):
        wide = x.astype(ms.float32)
        square = wide * wide
        slope = self._cdf(wide, square) + self.density * wide * ops.exp(-0.5 * square)
        return ((dout.astype(ms.float32) * slope).astype(x.dtype),)

    def _cdf(self, x, square):
        # The error of ops.tanh beyond 5 affects only |x| > 6, where the sigmoid is 0 or 1.
        gate = ops.tanh(self.p * square + self.q)
        return ops.sigmoid(x * ops.sqrt(self.a + (self.b + self.c * square) * gate))


class AscendGELU(nn.Cell):
    """GELU by the operator of Ascend, one launch forward and one backward. Not tested on hardware.

    Args:
        form: ``"tanh"`` or ``"exact"``.

    Input and output: any shape, floating point.
    """

    def __init__(self, form: GELUForm) -> None:
        super().__init__()
        self.approximate = "tanh" if form == "tanh" else "none"
        # The primitive of mint.nn.functional.gelu. A function does not belong to the cell, and is not recomputed.
        self.gelu = GeluExt()

    def construct(self, x):
        return self.gelu(x, self.approximate)


def make_gelu(form: GELUForm) -> nn.Cell:
    """Creates the GELU cell of the given ``form``, ``"tanh"`` or ``"exact"``, for the device.

    Raises:
        ValueError: if the form is unknown.
    """
    if form in get_args(GELUForm) and target_device() == "Ascend":
        return AscendGELU(form)
    if form == "tanh":
        return TanhGELU()
    if form == "exact":
        return ExactGELU()
    raise ValueError(f"gelu must be one of {', '.join(get_args(GELUForm))}, not {form!r}")
