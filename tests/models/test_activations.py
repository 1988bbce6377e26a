import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindvit.models.activations import TanhGELU, make_gelu
from tests import numpy_vit

POINTS = np.linspace(-10, 10, 4001, dtype=np.float32)


@pytest.mark.parametrize(("form", "reference"), [("tanh", numpy_vit.gelu_tanh), ("exact", numpy_vit.gelu_exact)])
def test_each_form_follows_its_formula(form, reference):
    values = make_gelu(form)(ms.Tensor(POINTS)).asnumpy()
    np.testing.assert_allclose(values, reference(POINTS.astype(np.float64)), atol=2e-6)


def test_the_forms_differ():
    tanh, exact = (make_gelu(form)(ms.Tensor(POINTS)).asnumpy() for form in ("tanh", "exact"))
    assert 1e-4 < np.abs(tanh - exact).max() < 1e-3


class Gradient(nn.Cell):
    def __init__(self, cell):
        super().__init__()
        self.gradient = ops.GradOperation()
        self.cell = cell

    def construct(self, x):
        return self.gradient(self.cell)(x)


def test_the_written_gradient_is_the_slope():
    points = POINTS.astype(np.float64)
    step = 1e-5
    slope = (numpy_vit.gelu_tanh(points + step) - numpy_vit.gelu_tanh(points - step)) / (2 * step)
    gradient = Gradient(TanhGELU())(ms.Tensor(POINTS)).asnumpy()
    np.testing.assert_allclose(gradient, slope, atol=1e-5)


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="'erf'"):
        make_gelu("erf")
