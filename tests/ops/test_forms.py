"""The forms of operations for Ascend, where a CPU can compute them too, against the portable forms."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindvit.ops.adamw import BiasCorrections
from mindvit.ops.dense import Dense
from mindvit.ops.gelu import AscendGELU, make_gelu
from mindvit.ops.operation import forms_of
from mindvit.ops.patch_projection import PatchProjection
from mindvit.ops.softmax_attention import SplitProjections
from mindvit.ops.weight import Weight


def in_both_forms(make):
    """A cell in the portable form and one in the form for Ascend, with the same weights."""
    portable = make()
    with forms_of("Ascend"):
        other = make()
    assert other.on_ascend and not portable.on_ascend
    for one, copy in zip(portable.get_parameters(), other.get_parameters(), strict=True):
        copy.set_data(Tensor(one.asnumpy()))
    return portable, other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: Dense(6, 4, "normal", "normal"), (2, 3, 6)),
        (lambda: PatchProjection(3, 5, 2), (2, 3, 4, 6)),
        (lambda: SplitProjections(2, 3), (2, 3, 6)),
    ],
    ids=["dense", "patch projection", "split"],
)
def test_both_forms_compute_the_same(rng, make, shape):
    x = Tensor(rng.standard_normal(shape).astype(np.float32))
    found = [cell(x) for cell in in_both_forms(make)]
    for one, other in zip(*(item if isinstance(item, tuple) else (item,) for item in found), strict=True):
        np.testing.assert_allclose(other.asnumpy(), one.asnumpy(), atol=1e-6)


class WeightedSum(nn.Cell):
    """The sum of the outputs of a cell times fixed factors."""

    def __init__(self, cell, factors):
        super().__init__()
        self.cell = cell
        self.factors = Tensor(factors)

    def construct(self, x):
        return (self.cell(x) * self.factors).sum()


@pytest.mark.parametrize("is_recomputed", [False, True])
def test_the_gradients_of_a_dense_layer_are_those_of_the_portable_form(rng, is_recomputed):
    cells = in_both_forms(lambda: Dense(6, 4, "normal", "normal"))
    cells[1].is_recomputed = is_recomputed
    x = Tensor(rng.standard_normal((2, 3, 6)).astype(np.float32))
    factors = rng.standard_normal((2, 3, 4)).astype(np.float32)
    found = []
    for cell in cells:
        d_x, d_weights = ms.grad(WeightedSum(cell, factors), 0, ms.ParameterTuple(cell.trainable_params()))(x)
        found.append((d_x, *d_weights))
    for one, other in zip(*found, strict=True):
        assert np.abs(one.asnumpy()).max() > 0
        np.testing.assert_allclose(other.asnumpy(), one.asnumpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 10, 1000])
def test_both_forms_of_the_bias_corrections_agree(step):
    betas = (Tensor(0.9, ms.float32), Tensor(0.999, ms.float32))
    exact = [1 - float(np.float32(beta)) ** step for beta in (0.9, 0.999)]
    for cell in in_both_forms(lambda: BiasCorrections(betas)):
        found = [item.asnumpy().item() for item in cell(Tensor(step, ms.float32))]
        assert found == pytest.approx(exact, rel=3e-5), "MindSpore's expm1 on CPU is off by 1e-5"


def test_gelu_is_one_operator_on_ascend_alone():
    assert not isinstance(make_gelu("exact"), AscendGELU)
    with forms_of("Ascend"):
        assert make_gelu("exact").approximate == "none" and make_gelu("tanh").approximate == "tanh"


class Scaled(nn.Cell):
    """``x * factor``."""

    def __init__(self):
        super().__init__()
        self.factor = ms.Parameter(Tensor(np.full((2, 3), 2, np.float32)), name="factor")
        self.read_factor = Weight()

    def construct(self, x):
        return (x * self.read_factor(self.factor)).sum()


def test_a_bound_weight_is_part_of_the_buffer_and_its_gradient_goes_to_the_handle():
    cell, x = Scaled(), np.arange(6, dtype=np.float32).reshape(2, 3)
    buffer = ms.Parameter(Tensor(np.arange(10, dtype=np.float32)), name="buffer", requires_grad=False)
    handle = cell.read_factor.bind(buffer, 3, cell.factor)
    loss, (gradient,) = ms.value_and_grad(cell, None, ms.ParameterTuple([handle]))(Tensor(x))
    assert loss.asnumpy() == (x * np.arange(3, 9).reshape(2, 3)).sum()
    np.testing.assert_array_equal(gradient.asnumpy(), x)
    assert [parameter.name for parameter in cell.get_parameters()] == ["factor"]
