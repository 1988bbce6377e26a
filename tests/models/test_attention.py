"""The precision of all attention's softmax, and attention by one operator of the device."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindvit.models import Attention
from mindvit.models.attention import DotProductAttention, fits_fused_attention, fused_attention
from mindvit.models.local_attention import (
    BlockedLocalAttention,
    MaskedLocalAttention,
    LocalAttention,
    local_attention_mask,
)
from mindvit.models.pos_embed import RelativeBias
from mindvit.models.softmax import Softmax
from mindvit.runtime import Runtime, apply_amp
from tests.fused_attention import flash_attention_score

GRID, WINDOW, PREFIX = (12, 12), 7, 2
TOKENS = PREFIX + GRID[0] * GRID[1]


class Weights(nn.Cell):
    """What a cell's ``weights`` gives, whatever the values."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def construct(self, query, keys, value):
        return self.attention.weights(query, keys)


PLACES = (GRID, WINDOW, PREFIX, 1)


@pytest.mark.parametrize(
    ("make", "is_local"),
    [
        (DotProductAttention, False),
        (lambda: Weights(DotProductAttention()), False),
        (lambda: MaskedLocalAttention(*PLACES), True),
        (lambda: BlockedLocalAttention(*PLACES, block=(4, 4)), True),
        (lambda: Weights(LocalAttention(*PLACES)), True),
    ],
    ids=["all", "all weights", "masked", "blocked", "local weights"],
)
def test_at_o2_every_attention_has_its_softmax_in_float32(rng, make, is_local):
    """Its weights are the nearest float16 numbers but for a few ties; of float16's own, a quarter are others."""
    keys = rng.standard_normal((1, 1, TOKENS, 1)).astype(np.float16)
    # Queries of 1 make the keys the scores, and as values the unit vectors bring the weights to light.
    query, value = np.ones_like(keys), np.eye(TOKENS)[None, None]
    cell = apply_amp(make(), Runtime("CPU", "O2")).set_train(False)
    found = cell(*(Tensor(array, ms.float32) for array in (query, keys, value))).asnumpy()[0, 0]
    near = local_attention_mask(GRID, WINDOW, PREFIX).asnumpy() if is_local else np.ones((TOKENS, TOKENS), bool)
    expected = np.exp(keys[0, 0, :, 0].astype(np.float64)) * near
    expected /= expected.sum(1, keepdims=True)
    assert np.mean(found[near] != expected.astype(np.float16)[near]) < 0.01
    assert (found[~near] == 0).all()


def test_the_softmax_in_float32_is_the_stock_one_bit_for_bit(rng):
    x = Tensor(rng.standard_normal((2, 3, 50, 50)).astype(np.float32))
    np.testing.assert_array_equal(Softmax()(x).asnumpy(), nn.Softmax(-1)(x).asnumpy())


@pytest.mark.parametrize(
    ("dtype", "head_dim", "drops", "learns_bias", "fits"),
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
def test_what_fits_the_fused_operator(dtype, head_dim, drops, learns_bias, fits):
    assert fits_fused_attention(dtype, (8, 12, 197, head_dim), drops, learns_bias) is fits


@pytest.mark.parametrize(("batch", "heads", "fits"), [(2048, 256, True), (2049, 12, False), (8, 257, False)])
def test_the_fused_operator_has_limits_of_its_own(batch, heads, fits):
    assert fits_fused_attention(ms.float16, (batch, heads, 197, 64), False, False) is fits


class Fused(nn.Cell):
    def construct(self, query, keys, value, bias=None):
        return fused_attention(query, keys, value, bias)


@pytest.mark.parametrize(
    ("dtype", "tolerance", "with_bias"),
    [(ms.float32, 1e-6, False), (ms.float32, 1e-6, True), (ms.float16, 4e-3, True)],
)
def test_the_operator_is_asked_for_the_plain_arithmetic(rng, monkeypatch, dtype, tolerance, with_bias):
    monkeypatch.setattr(ops, "flash_attention_score", flash_attention_score)
    operands = [Tensor(rng.standard_normal((2, 3, 10, 16)), dtype) for _ in range(3)]
    if with_bias:
        operands.append(Tensor(3 * rng.standard_normal((1, 3, 10, 10)), ms.float32))
    plain = DotProductAttention()(*operands).asnumpy()
    found = Fused()(*operands).asnumpy()
    assert found.dtype == plain.dtype
    np.testing.assert_allclose(found.astype(np.float32), plain.astype(np.float32), atol=tolerance)


def seven(query, key, value, head_num, **options):
    """An operator that is known by its output."""
    return value * 0 + 7


@pytest.mark.parametrize(
    ("allowed", "dtype", "head_dim", "dropout", "training", "biased", "fused"),
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
def test_the_cell_takes_the_operator_where_it_fits(
    rng, monkeypatch, allowed, dtype, head_dim, dropout, training, biased, fused
):
    monkeypatch.setattr(ops, "flash_attention_score", seven)
    cell = DotProductAttention(dropout).fuse(allowed).set_train(training)
    operands = [Tensor(rng.standard_normal((2, 3, 5, head_dim)), dtype) for _ in range(3)]
    bias = Tensor(rng.standard_normal((1, 3, 5, 5)), ms.float32) if biased else None
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
        return (self.network(tokens) ** 2).sum()


def computed(fused, tokens, run, biased=False):
    """What ``run`` makes of an attention layer at O2, by one operator or by the plain arithmetic."""
    bias = RelativeBias((2, 2), 2, prefix_tokens=1) if biased else None
    attention = Attention(32, 2, relative_bias=bias)
    rng = np.random.default_rng(3)
    for parameter in attention.get_parameters():
        parameter.set_data(Tensor(0.3 * rng.standard_normal(parameter.shape).astype(np.float32)))
    return run(apply_amp(attention, Runtime("CPU", "O2", fused_attention=fused)), Tensor(tokens))


def test_a_layer_learns_by_the_operator_what_it_learns_without(rng, monkeypatch):
    monkeypatch.setattr(ops, "flash_attention_score", flash_attention_score)
    tokens = rng.standard_normal((2, 5, 32)).astype(np.float32)
    (loss, gradients), (expected_loss, expected) = (
        computed(fused, tokens, lambda cell, x: Gradients(cell).set_train()(x)) for fused in (True, False)
    )
    np.testing.assert_allclose(loss.asnumpy(), expected_loss.asnumpy(), rtol=5e-3)
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), atol=0.01 * np.abs(other.asnumpy()).max())


def test_the_bias_of_a_layer_is_learned_although_the_operator_has_no_gradient_of_it(rng, monkeypatch):
    monkeypatch.setattr(ops, "flash_attention_score", seven)
    tokens = rng.standard_normal((2, 5, 32)).astype(np.float32)

    def run(cell, x):
        grad = Gradients(cell).set_train()
        names = [weight.name for weight in grad.weights]
        return grad(x)[1][names.index("relative_bias.table")].asnumpy()

    table = computed(True, tokens, run, biased=True)
    assert np.abs(table).max() > 0
    np.testing.assert_array_equal(table, computed(False, tokens, run, biased=True))


class WeightsOf(nn.Cell):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def construct(self, tokens):
        return self.attention.weights(tokens)


def test_the_weights_of_fused_attention_can_still_be_seen(rng, monkeypatch):
    monkeypatch.setattr(ops, "flash_attention_score", seven)
    attention = Attention(32, 2)
    cell = apply_amp(WeightsOf(attention), Runtime("CPU", "O2", fused_attention=True)).set_train(False)
    weights = cell(Tensor(rng.standard_normal((2, 5, 32)).astype(np.float32))).asnumpy()
    assert attention.attend.is_fused
    assert weights.shape == (2, 2, 5, 5)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=2e-3)


def test_attention_is_exported_as_with_the_stock_softmax(tmp_path):
    exported = []
    for softmax in (Softmax(), nn.Softmax(-1)):
        cell = Attention(32, 2).set_train(False)
        cell.attend.softmax = softmax
        ms.export(cell, ops.zeros((1, 5, 32), ms.float32), file_name=str(tmp_path / "cell"), file_format="ONNX")
        exported.append((tmp_path / "cell.onnx").read_bytes())
    own, stock = ([written.count(part) for part in (b"Softmax", b"Cast", b"MatMul")] for written in exported)
    assert own == stock
    assert own[0] > 0 and b"FlashAttention" not in exported[0]
