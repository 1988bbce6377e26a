"""Native layers and updates, compared with float64 arithmetic."""

import math

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from scipy.special import erf

from mindvit.models.feed_forward import FeedForward
from mindvit.native_kernels.kernel_library import available_threads, set_threads
from mindvit.ops.dense import Dense
from mindvit.ops.global_norm import GlobalNorm
from mindvit.ops.layer_norm import LayerNorm
from mindvit.ops.moving_average import MovingAverage
from mindvit.ops.operation import PORTABLE, forms_of
from mindvit.ops.softmax_attention import NativeAttention, Softmax
from mindvit.training.optimizers import AdamW

pytestmark = [pytest.mark.eager, pytest.mark.usefixtures("native_kernels")]


def output_and_gradients(cell, x, weight_of_output):
    """The output, and the gradients of its weighted sum by the input and the parameters, as in the definition."""
    factors = Tensor(weight_of_output.astype(np.float32))

    def loss(x):
        out = cell(x)
        out = out[0] if isinstance(out, tuple) else out
        return (out * factors).sum(), out

    parameters = list(cell.trainable_params())
    gradient = ms.value_and_grad(loss, 0, parameters or None, has_aux=True)
    (_, out), found = gradient(Tensor(x.astype(np.float32)))
    by_input, by_weights = found if parameters else (found, ())
    return out.asnumpy(), by_input.asnumpy(), [weight.asnumpy() for weight in by_weights]


def assert_near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def randomize(cell, rng):
    for parameter in cell.trainable_params():
        parameter.set_data(Tensor(rng.standard_normal(parameter.shape).astype(np.float32) / 4))
    return [parameter.asnumpy().astype(np.float64) for parameter in cell.trainable_params()]


@pytest.mark.parametrize("shape", [(3, 5, 96), (1, 7), (2, 3, 4, 33)])
def test_layer_norm(rng, shape):
    cell = LayerNorm(shape[-1], 1e-6)
    gamma, beta = randomize(cell, rng)
    x, dy = (rng.standard_normal(shape).astype(np.float32).astype(np.float64) for _ in range(2))
    rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    normal, dnormal = (x - x.mean(-1, keepdims=True)) * rstd, dy * gamma
    dx = dnormal - dnormal.mean(-1, keepdims=True) - normal * (dnormal * normal).mean(-1, keepdims=True)
    rows = (-1, shape[-1])
    found = output_and_gradients(cell, x, dy)
    assert_near(found[0], normal * gamma + beta)
    assert_near(found[1], rstd * dx)
    assert_near(found[2][0], (dy * normal).reshape(rows).sum(0))
    assert_near(found[2][1], dy.reshape(rows).sum(0))


@pytest.mark.parametrize("shape", [(3, 5, 40), (1, 40), (2, 3, 4, 40)])
def test_dense(rng, shape):
    cell = Dense(40, 23, "normal")
    weight, bias = randomize(cell, rng)
    x = rng.standard_normal(shape).astype(np.float32).astype(np.float64)
    dy = rng.standard_normal((*shape[:-1], 23)).astype(np.float32).astype(np.float64)
    found = output_and_gradients(cell, x, dy)
    assert_near(found[0], x @ weight.T + bias)
    assert_near(found[1], dy @ weight)
    assert_near(found[2][0], dy.reshape(-1, 23).T @ x.reshape(-1, 40))
    assert_near(found[2][1], dy.reshape(-1, 23).sum(0))


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 6])
def test_any_number_of_threads_computes_the_same_dense_layer(rng, threads):
    cell = Dense(96, 72, "normal")
    x, dy = (rng.standard_normal((7, 11, width)).astype(np.float32) for width in (96, 72))
    expected = output_and_gradients(cell, x, dy)
    set_threads(threads)
    try:
        found = output_and_gradients(cell, x, dy)
    finally:
        set_threads(available_threads())
    for actual, wanted in zip((*found[:2], *found[2]), (*expected[:2], *expected[2]), strict=True):
        assert_near(actual, wanted)


@pytest.mark.parametrize("tokens", [5, 300], ids=["one block of queries", "several blocks of queries"])
def test_attention(rng, tokens):
    batch, heads, dim = 2, 3, 16
    scale, width = dim**-0.5, heads * dim
    qkv = rng.standard_normal((batch, tokens, 3 * width)).astype(np.float32).astype(np.float64)
    dy = rng.standard_normal((batch, tokens, width)).astype(np.float32).astype(np.float64)

    def split(values):
        return values.reshape(batch, tokens, -1, heads, dim).transpose(2, 0, 3, 1, 4)

    query, key, value = split(qkv)
    (grad,) = split(dy)
    scores = scale * query @ key.swapaxes(-1, -2)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    dweights = grad @ value.swapaxes(-1, -2)
    dscores = scale * weights * (dweights - (dweights * weights).sum(-1, keepdims=True))
    parts = np.stack((dscores @ key, dscores.swapaxes(-1, -2) @ query, weights.swapaxes(-1, -2) @ grad))
    found = output_and_gradients(NativeAttention(heads, scale), qkv, dy)
    assert_near(found[0], (weights @ value).transpose(0, 2, 1, 3).reshape(dy.shape))
    assert_near(found[1], parts.transpose(1, 3, 0, 2, 4).reshape(qkv.shape))


@pytest.mark.parametrize("shape", [(2, 3, 5, 37), (1, 1), (4, 16)])
def test_softmax(rng, shape):
    x = (30 * rng.standard_normal(shape)).astype(np.float32).astype(np.float64)
    dy = rng.standard_normal(shape).astype(np.float32).astype(np.float64)
    y = np.exp(x - x.max(-1, keepdims=True))
    y /= y.sum(-1, keepdims=True)
    found = output_and_gradients(Softmax(), x, dy)
    assert_near(found[0], y)
    np.testing.assert_allclose(found[1], y * (dy - (y * dy).sum(-1, keepdims=True)), rtol=0, atol=1e-5)


def gelu(form, x):
    if form == "exact":
        phi = 0.5 * (1 + erf(x / math.sqrt(2)))
        return x * phi, phi + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    inner, slope = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3), math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return 0.5 * x * (1 + np.tanh(inner)), 0.5 * (1 + np.tanh(inner)) + 0.5 * x * slope / np.cosh(inner) ** 2


@pytest.mark.parametrize("form", ["tanh", "exact"])
def test_feed_forward(rng, form):
    cell = FeedForward(24, 56, gelu=form).set_train()
    weight1, bias1, weight2, bias2 = randomize(cell, rng)
    # Far from zero, too: there GELU is 0 or its argument.
    x = (4 * rng.standard_normal((2, 9, 24))).astype(np.float32).astype(np.float64)
    dy = rng.standard_normal((2, 9, 24)).astype(np.float32).astype(np.float64)
    hidden = x @ weight1.T + bias1
    active, slope = gelu(form, hidden)
    dhidden = (dy @ weight2) * slope
    found = output_and_gradients(cell, x, dy)
    assert_near(found[0], active @ weight2.T + bias2)
    assert_near(found[1], dhidden @ weight1)
    for gradient, left, right in zip(found[2][::2], (dhidden, dy), (x, active), strict=True):
        assert_near(gradient, left.reshape(18, -1).T @ right.reshape(18, -1))
    for gradient, values in zip(found[2][1::2], (dhidden, dy), strict=True):
        assert_near(gradient, values.reshape(18, -1).sum(0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_stay_so(rng, value):
    x = rng.standard_normal((2, 5, 48)).astype(np.float32)
    x[1, 2, 3] = value
    for cell in (LayerNorm(48, 1e-6), Dense(48, 48, "normal"), FeedForward(48, 96), NativeAttention(1, 0.25)):
        out = cell(Tensor(x))
        out = (out[0] if isinstance(out, tuple) else out).asnumpy()
        assert np.isfinite(out[0]).all() and not np.isfinite(out[1]).all(), type(cell).__name__
    assert not np.isfinite(GlobalNorm()((Tensor(x),)).asnumpy())


def test_the_global_norm_of_many_values_is_accurate(rng):
    tensors = [rng.standard_normal(shape).astype(np.float32) for shape in ((3, 7), (1000, 333), (5,))]
    expected = np.sqrt(sum(np.square(tensor, dtype=np.float64).sum() for tensor in tensors))
    np.testing.assert_allclose(GlobalNorm()(tuple(map(Tensor, tensors))).asnumpy(), expected, rtol=3e-7)


def test_one_kernel_updates_all_weights_as_the_portable_optimizer_does(rng):
    shapes, optimizers, weights = [(300, 257), (5,), (2, 3, 4)], [], []
    values, gradients = ([rng.standard_normal(shape).astype(np.float32) for shape in shapes] for _ in range(2))
    for form in ("CPU", PORTABLE):
        with forms_of(form):
            weights.append([Parameter(Tensor(value), name=f"w{index}") for index, value in enumerate(values)])
            optimizers.append(AdamW(weights[-1], [1.0, 0.5, 2.0], [0.05, 0.0, 0.1]))
    assert optimizers[0].applies_factor and not optimizers[1].applies_factor
    for _ in range(3):
        rate, factor = (Tensor(value, ms.float32) for value in (0.01, 0.25))
        optimizers[0](tuple(map(Tensor, gradients)), rate, factor)
        optimizers[1](tuple(Tensor(gradient) * factor for gradient in gradients), rate)
    for one, other in zip(*(optimizer.full_state().values() for optimizer in optimizers), strict=True):
        np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), rtol=1e-6, err_msg=one.name)
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), rtol=1e-6, atol=1e-7)


class ReadsAroundUpdates(nn.Cell):
    """Reads an average before and after its update, which happens only on a condition."""

    def __init__(self, average, weight):
        super().__init__(auto_prefix=False)
        self.average = average
        self.update = MovingAverage(ParameterTuple([average]), ParameterTuple([weight]))

    def construct(self, decay):
        before = self.average * 1.0
        if ops.isfinite(decay):
            self.update(decay)
        return before, self.average * 1.0


@pytest.mark.graph
def test_a_graph_keeps_reads_and_updates_in_order():
    average, weight = (Parameter(Tensor([value], ms.float32), name=str(value)) for value in (8.0, 4.0))
    cell = ReadsAroundUpdates(average, weight)
    for decay, expected in ((0.5, (8, 6)), (np.nan, (6, 6)), (0.5, (6, 5))):
        assert [value.asnumpy().item() for value in cell(Tensor(decay, ms.float32))] == list(expected)
    assert average.asnumpy().item() == 5
