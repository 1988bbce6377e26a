import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops
from scipy.special import ndtr

from mindvit.ops.gelu import ExactGELU, TanhGELU, make_gelu
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


def test_the_explicit_gradient_of_the_tanh_form_is_correct():
    points = POINTS.astype(np.float64)
    step = 1e-5
    expected = (numpy_vit.gelu_tanh(points + step) - numpy_vit.gelu_tanh(points - step)) / (2 * step)
    gradient = Gradient(TanhGELU())(ms.Tensor(POINTS)).asnumpy()
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_the_error_of_the_exact_form_is_below_1e_6():
    large = np.geomspace(6, 3e38, 20001)
    points = np.concatenate([np.linspace(-6, 6, 1200001), large, -large, [0, 1e-30, -1e-30]]).astype(np.float32)
    exact = points.astype(np.float64)
    values = make_gelu("exact")(ms.Tensor(points)).asnumpy()
    assert np.abs(values - exact * ndtr(exact)).max() < 1e-6


def test_the_gradient_of_the_exact_form_is_correct():
    large = np.geomspace(6, 1e30, 1001)
    points = np.concatenate([np.linspace(-6, 6, 120001), large, -large]).astype(np.float32)
    exact = points.astype(np.float64)
    expected = ndtr(exact) + exact * np.exp(-0.5 * exact**2) / np.sqrt(2 * np.pi)
    gradient = Gradient(make_gelu("exact"))(ms.Tensor(points)).asnumpy()
    assert np.abs(gradient - expected).max() < 4e-6


def test_the_exact_form_is_finite_for_every_float16():
    points = np.arange(2**16, dtype=np.uint16).view(np.float16)
    points = points[np.isfinite(points)]
    exact = points.astype(np.float64)
    values = ExactGELU()(ms.Tensor(points)).asnumpy()
    assert values.dtype == np.float16
    np.testing.assert_allclose(values, exact * ndtr(exact), rtol=6e-4, atol=2e-6)
    gradient = Gradient(ExactGELU())(ms.Tensor(points)).asnumpy()
    assert gradient.dtype == np.float16
    assert np.abs(gradient).max() < 1.13 and gradient.min() > -0.13


def test_an_unknown_form_is_an_error():
    with pytest.raises(ValueError, match="'erf'"):
        make_gelu("erf")
