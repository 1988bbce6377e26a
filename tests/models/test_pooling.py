import mindspore as ms
import numpy as np
import pytest

from mindvit.models.pooling import AttentionPool, ClassPool, MeanPool, make_pool
from tests import numpy_vit
from tests.models.constructions import config_of


@pytest.fixture
def tokens(rng):
    return rng.standard_normal((2, 5, 12)).astype(np.float32)


def test_the_class_token_stands_first(tokens):
    np.testing.assert_array_equal(ClassPool()(ms.Tensor(tokens)).asnumpy(), tokens[:, 0])


@pytest.mark.parametrize("prefix", [0, 2])
def test_the_mean_is_of_the_patches_alone(tokens, prefix):
    pooled = MeanPool(prefix)(ms.Tensor(tokens)).asnumpy()
    np.testing.assert_allclose(pooled, tokens[:, prefix:].mean(1), atol=1e-6)


@pytest.mark.parametrize("gelu", ["tanh", "exact"])
def test_a_learned_query_picks_by_attention(rng, tokens, gelu):
    cell = AttentionPool(12, 3, 20, norm_eps=0.1, gelu=gelu).set_train(False)
    shapes = {parameter.name: parameter.shape for parameter in cell.get_parameters()}
    weights = numpy_vit.random_weights(shapes, rng, scale=0.5)
    for parameter in cell.get_parameters():
        parameter.set_data(ms.Tensor(weights[parameter.name]))
    weights = {f"pool.{name}": values.astype(np.float64) for name, values in weights.items()}
    expected = numpy_vit.attention_pool(tokens.astype(np.float64), weights, 3, 0.1, numpy_vit.GELU[gelu])
    np.testing.assert_allclose(cell(ms.Tensor(tokens)).asnumpy(), expected, atol=1e-5)


def test_each_setting_has_its_pool():
    assert isinstance(make_pool(config_of("plain")), ClassPool)
    assert isinstance(make_pool(config_of("map")), AttentionPool)
    for name, prefix in (("mean", 0), ("mean_beside_class_token", 1), ("mean_norm", 2)):
        pool = make_pool(config_of(name))
        assert isinstance(pool, MeanPool) and pool.prefix_tokens == prefix
    drawn = make_pool(config_of("map", embed_dim=768)).probe.asnumpy()
    assert 0 < np.abs(drawn).max() < 0.1, "a fresh query is small, and not 0"
