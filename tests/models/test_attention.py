"""The precision of the softmax in all attention cells, and fused attention."""

from functools import partial

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindvit.models import Attention
from mindvit.models.local_attention import (
    BlockedLocalAttention,
    LocalAttention,
    MaskedLocalAttention,
    local_attention_mask,
)
from mindvit.models.pos_embed import RelativeBias
from mindvit.ops.operation import PORTABLE, forms_of
from mindvit.ops.softmax_attention import (
    DotProductAttention,
    Softmax,
    fused_attention,
    supports_fused_attention,
)
from mindvit.runtime import Runtime, apply_amp
from tests.fused_attention import flash_attention_score

pytestmark = pytest.mark.eager

GRID, WINDOW_SIZE, PREFIX = (12, 12), 7, 2
TOKENS = PREFIX + GRID[0] * GRID[1]


class Weights(nn.Cell):
    """The attention weights of an attention cell."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def construct(self, query, key, value):
        return self.attention.weights(query, key)


LOCAL = (GRID, WINDOW_SIZE, PREFIX, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "is_local"),
    [
        (DotProductAttention, False),
        (lambda: Weights(DotProductAttention()), False),
        (lambda: MaskedLocalAttention(*LOCAL), True),
        (lambda: BlockedLocalAttention(*LOCAL, block=(4, 4)), True),
        (lambda: Weights(LocalAttention(*LOCAL)), True),
    ],
    ids=["full", "full weights", "masked", "blocked", "local weights"],
)
def test_every_attention_on_float16_has_its_softmax_in_float32(rng, make, is_local):
    """The weights are the nearest float16 numbers, except for a few ties; a softmax in float16 differs in a quarter."""
    key = rng.standard_normal((1, 1, TOKENS, 1)).astype(np.float16)
    # With a query of ones the key is the score, and with unit vectors as values the output is the attention weights.
    query, value = np.ones_like(key), np.eye(TOKENS)[None, None]
    cell = make().set_train(False)
    found = cell(*(Tensor(array, ms.float16) for array in (query, key, value))).asnumpy()[0, 0]
    mask = local_attention_mask(GRID, WINDOW_SIZE, PREFIX).asnumpy() if is_local else np.ones((TOKENS, TOKENS), bool)
    expected = np.exp(key[0, 0, :, 0].astype(np.float64)) * mask
    expected /= expected.sum(1, keepdims=True)
    assert np.mean(found[mask] != expected.astype(np.float16)[mask]) < 0.01
    assert (found[~mask] == 0).all()


def test_the_softmax_in_float32_equals_the_stock_one_bit_for_bit(rng):
    x = Tensor(rng.standard_normal((2, 3, 50, 50)).astype(np.float32))
    with forms_of(PORTABLE):
        found = Softmax()(x)
    np.testing.assert_array_equal(found.asnumpy(), nn.Softmax(-1)(x).asnumpy())


@pytest.mark.parametrize(
    ("dtype", "head_dim", "has_dropout", "bias_requires_grad", "supported"),
    [
        (ms.float16, 64, False, False, True),
        (ms.bfloat16, 64, False, False, True),
        (ms.float32, 64, False, False, False),
        (ms.float16, 16, False, False, True),
        (ms.float16, 512, False, False, True),
        (ms.float16, 528, False, False, False),
        (ms.float16, 72, False, False, False),
        (ms.float16, 8, False, False, False),
        (ms.float16, 64, True, False, False),
        (ms.float16, 64, False, True, False),
        (ms.bfloat16, 64, True, True, False),
    ],
)
def test_the_fused_operator_supports_some_cases(dtype, head_dim, has_dropout, bias_requires_grad, supported):
    shape = (8, 12, 197, head_dim)
    assert supports_fused_attention(dtype, shape, has_dropout, bias_requires_grad) is supported


@pytest.mark.parametrize(("batch", "heads", "supported"), [(2048, 256, True), (2049, 12, False), (8, 257, False)])
def test_the_fused_operator_limits_batch_and_heads(batch, heads, supported):
    assert supports_fused_attention(ms.float16, (batch, heads, 197, 64), False, False) is supported


class Fused(nn.Cell):
    """Fused attention in the layout BSH, with inputs and output as those of ``DotProductAttention``."""

    def construct(self, query, key, value, bias=None):
        query, key, value = (x.transpose(0, 2, 1, 3).reshape(2, 10, 48) for x in (query, key, value))
        return fused_attention(query, key, value, 3, bias=bias).reshape(2, 10, 3, 16).transpose(0, 2, 1, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "tolerance", "with_bias"),
    [(ms.float32, 2e-6, False), (ms.float32, 2e-6, True), (ms.float16, 4e-3, True)],
)
def test_the_fused_operator_equals_the_unfused_computation(rng, monkeypatch, dtype, tolerance, with_bias):
    monkeypatch.setattr(ops, "flash_attention_score", flash_attention_score)
    operands = [Tensor(rng.standard_normal((2, 3, 10, 16)), dtype) for _ in range(3)]
    if with_bias:
        operands.append(Tensor(3 * rng.standard_normal((1, 3, 10, 10)), ms.float32))
    unfused = DotProductAttention()(*operands).asnumpy()
    found = Fused()(*operands).asnumpy()
    assert found.dtype == unfused.dtype
    np.testing.assert_allclose(found.astype(np.float32), unfused.astype(np.float32), atol=tolerance)


def seven(query, key, value, head_num, **options):
    """Replaces the operator; its output is 7."""
    return value * 0 + 7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("enabled", "dtype", "head_dim", "dropout", "training", "has_bias", "fused"),
    [
        (True, ms.float16, 16, 0.0, False, False, True),
        (True, ms.float16, 16, 0.0, True, False, True),
        (True, ms.float16, 16, 0.0, False, True, True),
        (True, ms.float16, 16, 0.5, False, False, True),
        (False, ms.float16, 16, 0.0, False, False, False),
        (True, ms.float32, 16, 0.0, False, False, False),
        (True, ms.float16, 12, 0.0, False, False, False),
        (True, ms.float16, 16, 0.5, True, False, False),
        (True, ms.float16, 16, 0.0, True, True, False),
    ],
)
def test_the_cell_uses_the_fused_operator_if_supported(
    rng, monkeypatch, enabled, dtype, head_dim, dropout, training, has_bias, fused
):
    monkeypatch.setattr(ops, "flash_attention_score", seven)
    cell = DotProductAttention(dropout).fuse(enabled).set_train(training)
    operands = [Tensor(rng.standard_normal((2, 3, 5, head_dim)), dtype) for _ in range(3)]
    bias = Tensor(rng.standard_normal((1, 3, 5, 5)), ms.float32) if has_bias else None
    found = cell(*operands, bias, Tensor([1, 2], ms.int32)).asnumpy()
    assert (found == 7).all() == fused


class Gradients(nn.Cell):
    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network
        self.weights = ms.ParameterTuple(network.trainable_params())

    def construct(self, tokens):
        return ms.value_and_grad(self.loss, None, self.weights)(tokens)

    def loss(self, tokens):
        return (self.network(tokens).astype(ms.float32) ** 2).sum()


def run_attention(fused, tokens, run, has_bias=False):
    """The result of ``run`` for an attention layer at O2, fused or not."""
    bias = RelativeBias((2, 2), 2, prefix_tokens=1) if has_bias else None
    attention = Attention(32, 2, relative_bias=bias)
    rng = np.random.default_rng(3)
    for parameter in attention.get_parameters():
        parameter.set_data(Tensor(0.3 * rng.standard_normal(parameter.shape).astype(np.float32)))
    return run(apply_amp(attention, Runtime("CPU", "O2", fused_attention=fused)), Tensor(tokens, ms.float16))


@pytest.mark.graph
@pytest.mark.slow
def test_the_gradients_of_fused_attention_equal_those_of_unfused_attention(rng, monkeypatch):
    monkeypatch.setattr(ops, "flash_attention_score", flash_attention_score)
    tokens = rng.standard_normal((2, 5, 32)).astype(np.float32)
    (loss, gradients), (expected_loss, expected) = (
        run_attention(fused, tokens, lambda cell, x: Gradients(cell).set_train()(x)) for fused in (True, False)
    )
    np.testing.assert_allclose(loss.asnumpy(), expected_loss.asnumpy(), rtol=5e-3)
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), atol=0.01 * np.abs(other.asnumpy()).max())


@pytest.mark.slow
def test_the_bias_has_a_gradient_although_the_fused_operator_has_none(rng, monkeypatch):
    monkeypatch.setattr(ops, "flash_attention_score", seven)
    tokens = rng.standard_normal((2, 5, 32)).astype(np.float32)

    def run(cell, x):
        grad = Gradients(cell).set_train()
        names = [weight.name for weight in grad.weights]
        return grad(x)[1][names.index("relative_bias.table")].asnumpy()

    table = run_attention(True, tokens, run, has_bias=True)
    assert np.abs(table).max() > 0
    np.testing.assert_array_equal(table, run_attention(False, tokens, run, has_bias=True))


class WeightsOf(nn.Cell):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def construct(self, tokens):
        return self.attention.weights(tokens)


@pytest.mark.slow
def test_the_weights_of_fused_attention_are_available(rng, monkeypatch):
    monkeypatch.setattr(ops, "flash_attention_score", seven)
    attention = Attention(32, 2)
    cell = apply_amp(WeightsOf(attention), Runtime("CPU", "O2", fused_attention=True)).set_train(False)
    weights = cell(Tensor(rng.standard_normal((2, 5, 32)), ms.float16)).asnumpy()
    assert attention.attend.is_fused
    assert weights.shape == (2, 2, 5, 5)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=2e-3)


@pytest.mark.graph
@pytest.mark.slow
def test_the_onnx_export_equals_that_of_the_stock_softmax(tmp_path):
    exported = []
    for softmax in (Softmax, partial(nn.Softmax, -1)):
        with forms_of(PORTABLE):
            cell = Attention(32, 2).set_train(False)
            cell.attend.softmax = softmax()
        ms.export(cell, ops.zeros((1, 5, 32), ms.float32), file_name=str(tmp_path / "cell"), file_format="ONNX")
        exported.append((tmp_path / "cell.onnx").read_bytes())
    found, stock = ([written.count(part) for part in (b"Softmax", b"Cast", b"MatMul")] for written in exported)
    assert found == stock
    assert found[0] > 0 and b"FlashAttention" not in exported[0]
