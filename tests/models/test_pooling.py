import mindspore as ms
import numpy as np
import pytest

from mindvit.models.pooling import AttentionPool, ClassPool, MeanPool, make_pool
from tests import numpy_vit
from tests.models.constructions import config_of, randomize

pytestmark = pytest.mark.eager


@pytest.fixture
def tokens(rng):
    return rng.standard_normal((2, 5, 12)).astype(np.float32)


def test_class_pool_takes_the_first_token(tokens):
    np.testing.assert_array_equal(ClassPool()(ms.Tensor(tokens)).asnumpy(), tokens[:, 0])


@pytest.mark.parametrize("prefix", [0, 2])
def test_mean_pool_is_the_mean_of_the_patch_tokens(tokens, prefix):
    pooled = MeanPool(prefix)(ms.Tensor(tokens)).asnumpy()
    np.testing.assert_allclose(pooled, tokens[:, prefix:].mean(1), atol=1e-6)


@pytest.mark.parametrize("gelu", ["tanh", "exact"])
def test_attention_pool_matches_the_numpy_reference(rng, tokens, gelu):
    cell = AttentionPool(12, 3, 20, norm_eps=0.1, gelu=gelu).set_train(False)
    weights = {f"pool.{name}": values for name, values in randomize(cell, rng, scale=0.5).items()}
    expected = numpy_vit.attention_pool(tokens.astype(np.float64), weights, 3, 0.1, numpy_vit.GELU[gelu])
    np.testing.assert_allclose(cell(ms.Tensor(tokens)).asnumpy(), expected, atol=1e-5)


def test_the_config_selects_the_pooling():
    assert isinstance(make_pool(config_of("plain")), ClassPool)
    assert isinstance(make_pool(config_of("map")), AttentionPool)
    for name, prefix in (("mean", 0), ("mean_with_class_token", 1), ("mean_norm", 2)):
        pool = make_pool(config_of(name))
        assert isinstance(pool, MeanPool) and pool.prefix_tokens == prefix
    probe = make_pool(config_of("map", embed_dim=768)).probe.asnumpy()
    assert 0 < np.abs(probe).max() < 0.1, "the initial query is small, and not 0"
