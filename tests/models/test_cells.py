"""Each cell against its NumPy reference."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindvit.models import Attention, FeedForward, ResidualCell, TransformerEncoder, ViTConfig
from mindvit.models.pos_embed import RelativeBias
from tests import numpy_vit
from tests.models.constructions import randomize

pytestmark = pytest.mark.eager


def run(cell, values):
    return cell.set_train(False)(ms.Tensor(values)).asnumpy()


def test_attention_follows_the_formula(rng):
    cell = Attention(embed_dim=12, num_heads=3)
    weights = {f"a.{name}": values for name, values in randomize(cell, rng).items()}
    tokens = rng.standard_normal((2, 5, 12)).astype(np.float32)
    expected = numpy_vit.attention(tokens.astype(np.float64), weights, "a", num_heads=3)
    np.testing.assert_allclose(run(cell, tokens), expected, atol=1e-4)


def with_qk_norm():
    return Attention(embed_dim=12, num_heads=3, qk_norm_eps=0.1)


def with_relative_bias():
    return Attention(embed_dim=12, num_heads=3, relative_bias=RelativeBias((2, 2), 3, prefix_tokens=1))


@pytest.mark.parametrize("make", [with_qk_norm, with_relative_bias])
def test_attention_with_qk_norm_or_relative_bias_follows_the_formula(rng, make):
    cell = make()
    weights = {f"a.{name}": values for name, values in randomize(cell, rng, scale=0.6).items()}
    tokens = rng.standard_normal((2, 5, 12)).astype(np.float32)
    expected = numpy_vit.attention(tokens.astype(np.float64), weights, "a", num_heads=3, eps=0.1, grid=(2, 2))
    np.testing.assert_allclose(run(cell, tokens), expected, atol=1e-5)


class Weights(nn.Cell):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def construct(self, x):
        return self.attention.weights(x)


@pytest.mark.slow
@pytest.mark.parametrize("make", [with_qk_norm, with_relative_bias])
def test_the_attention_weights_give_the_output(rng, make):
    cell = make()
    named = randomize(cell, rng, scale=0.6)
    tokens = rng.standard_normal((2, 5, 12)).astype(np.float32)
    weights = run(Weights(cell), tokens)
    assert weights.shape == (2, 3, 5, 5)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    value = tokens @ named["qkv.weight"][24:].T + named["qkv.bias"][24:]
    mixed = np.einsum("bhqk,bkhd->bqhd", weights, value.reshape(2, 5, 3, 4)).reshape(2, 5, 12)
    np.testing.assert_allclose(mixed @ named["out.weight"].T + named["out.bias"], run(cell, tokens), atol=1e-5)


@pytest.mark.parametrize(("form", "gelu"), [("tanh", numpy_vit.gelu_tanh), ("exact", numpy_vit.gelu_exact)])
def test_feed_forward_follows_the_formula(rng, form, gelu):
    cell = FeedForward(embed_dim=6, mlp_dim=20, gelu=form)
    weights = {f"f.{name}": values for name, values in randomize(cell, rng, scale=1.0).items()}
    tokens = rng.standard_normal((2, 5, 6)).astype(np.float32)
    expected = numpy_vit.feed_forward(tokens.astype(np.float64), weights, "f", gelu)
    np.testing.assert_allclose(run(cell, tokens), expected, atol=1e-4)


def test_residual_cell_adds_the_output_of_its_cell(rng):
    cell = ResidualCell(nn.Dense(6, 6))
    weights = randomize(cell, rng)
    x = rng.standard_normal((4, 6)).astype(np.float32)
    expected = x + x @ weights["cell.weight"].T + weights["cell.bias"]
    np.testing.assert_allclose(run(cell, x), expected, atol=1e-5)


def test_drop_path_does_nothing_in_evaluation():
    cell = ResidualCell(nn.Identity(), drop_path=0.9)
    x = np.ones((50, 2), np.float32)
    np.testing.assert_array_equal(run(cell, x), 2 * x)


@pytest.mark.parametrize(("mode", "rates"), [("linear", [0, 0.1, 0.2, 0.3, 0.4]), ("constant", [0.4] * 5)])
def test_drop_path_rate_increases_linearly_with_depth_or_is_constant(mode, rates):
    encoder = TransformerEncoder(ViTConfig(embed_dim=8, depth=5, num_heads=2, drop_path=0.4, drop_path_mode=mode))
    for rate, block in zip(rates, encoder.layers, strict=True):
        assert [residual.drop_path.p for residual in block] == pytest.approx([rate, rate])


def test_layer_scale_multiplies_each_channel_of_a_branch():
    cell = ResidualCell(nn.Identity(), layer_scale=0.5, embed_dim=3)
    assert cell.layer_scale.requires_grad
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(run(cell, x), 1.5 * x)
    cell.layer_scale.set_data(ms.Tensor([0.0, 1.0, 2.0], ms.float32))
    np.testing.assert_allclose(run(cell, x), [[1, 2, 3]] * 2)


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["dropout", "attention_dropout"])
def test_dropout_acts_in_training_but_not_in_evaluation(rng, setting):
    cell = Attention(embed_dim=12, num_heads=3, **{setting: 0.5})
    randomize(cell, rng)
    tokens = rng.standard_normal((2, 5, 12)).astype(np.float32)
    evaluated = run(cell, tokens)
    np.testing.assert_array_equal(evaluated, run(cell, tokens))
    trained = cell.set_train(True)(ms.Tensor(tokens)).asnumpy()
    assert np.abs(trained - evaluated).max() > 0.05
    if setting == "dropout":
        assert 0.2 < (trained == 0).mean() < 0.8


def test_feed_forward_dropout_acts_in_training(rng):
    cell = FeedForward(embed_dim=16, mlp_dim=32, dropout=0.5)
    randomize(cell, rng)
    tokens = rng.standard_normal((2, 25, 16)).astype(np.float32)
    assert 0.3 < (cell.set_train(True)(ms.Tensor(tokens)).asnumpy() == 0).mean() < 0.7
