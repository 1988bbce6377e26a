from dataclasses import replace
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindvit import create_model
from mindvit.models import Preprocessing, ViT
from tests import numpy_vit
from tests.models.constructions import CONSTRUCTIONS, config_of, random_images, random_network

TABLE = Path(__file__).parent.parent / "references/tutorial_vit_b_16_224_parameters.tsv"


def tutorial_shapes():
    rows = (line.split("\t") for line in TABLE.read_text().splitlines())
    return {name: tuple(map(int, shape.split("x"))) for name, shape in rows}


@pytest.mark.eager
@pytest.mark.slow
def test_the_tutorials_checkpoint_loads_strictly_and_gives_the_tutorials_logits(tmp_path, rng):
    weights = numpy_vit.random_weights(tutorial_shapes(), rng)
    assert len(weights) == 152
    path = tmp_path / "vit_b_16_224.ckpt"
    ms.save_checkpoint([{"name": name, "data": ms.Tensor(values)} for name, values in weights.items()], str(path))

    network = create_model("vit_b_16_224", checkpoint=str(path)).set_train(False)

    assert {parameter.name for parameter in network.get_parameters()} == weights.keys()
    for parameter in network.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), weights[parameter.name])
    assert (network.config.norm_eps, network.config.gelu) == (1e-7, "tanh")
    image = rng.standard_normal((1, 3, 224, 224)).astype(np.float32)
    logits = network(ms.Tensor(image)).asnumpy()
    assert logits.std() > 0.1
    np.testing.assert_allclose(logits, numpy_vit.vit(image, weights, num_heads=12), atol=1e-4)


# These have every setting of the others, and are compiled.
COMPILED = ("plain", "window_with_relative_bias", "map_with_all", "mean_norm_with_all", "distilled_with_all")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in COMPILED else pytest.mark.eager) for name in CONSTRUCTIONS]
)
def test_each_architecture_gives_the_logits_of_the_numpy_reference(rng, name):
    config = config_of(name)
    network, weights = random_network(config, rng)
    images = random_images(config, rng)
    expected = numpy_vit.vit_of(images.astype(np.float64), weights, config)
    assert expected.shape == (2, 7) and expected.std(0).max() > 0.1, "images matter"
    np.testing.assert_allclose(network(ms.Tensor(images)).asnumpy(), expected, atol=2e-5)


def test_weights_are_initialized_as_in_the_paper():
    network = create_model("vit_ti_16_224")
    assert not network.cls.asnumpy().any()
    assert not network.dense.weight.asnumpy().any()
    assert network.pos_embedding.asnumpy().std() == pytest.approx(0.02, rel=0.05)
    for name, limit in (("qkv", (6 / (192 + 192)) ** 0.5), ("dense1", (6 / (192 + 768)) ** 0.5)):
        values = next(p for p in network.get_parameters() if p.name.endswith(f"{name}.weight")).asnumpy()
        assert np.abs(values).max() <= limit
        assert values.std() == pytest.approx(limit / 3**0.5, rel=0.05)


class Passthrough(nn.Cell):
    def construct(self, x, rng_key=None):
        return x


@pytest.mark.eager
@pytest.mark.slow
def test_dropout_is_applied_after_the_pos_embed_and_before_the_head(rng):
    network = create_model("vit_mini_4_32", num_classes=5, depth=1, dropout=0.5)
    # Without layers between the two dropouts, an element reaches the output if both keep it.
    network.transformer, network.norm, network.dense = Passthrough(), nn.Identity(), nn.Identity()
    network.cls.set_data(ms.Tensor(np.ones(network.cls.shape, np.float32)))
    images = ms.Tensor(rng.standard_normal((64, 3, 32, 32)).astype(np.float32))
    assert (network.set_train(True)(images).asnumpy() != 0).mean() == pytest.approx(0.25, abs=0.03)
    assert (network.set_train(False)(images).asnumpy() != 0).all()


def test_every_block_has_the_dropout_rates_of_the_config():
    network = create_model("vit_mini_4_32", dropout=0.2, attention_dropout=0.3)
    assert len(network.transformer.layers) == 6
    for block in network.transformer.layers:
        attention, feed_forward = (residual.cell[1] for residual in block)
        assert (attention.dropout.p, attention.attend.attention_dropout.p) == (0.2, 0.3)
        assert (feed_forward.hidden_dropout.p, feed_forward.dropout.p) == (0.2, 0.2)


@pytest.mark.eager
@pytest.mark.slow
@pytest.mark.parametrize("name", ["distilled_with_all", "deit3"])
def test_a_distilled_network_returns_the_logits_of_both_heads_in_training(rng, name):
    config = config_of(name)
    network, weights = random_network(config, rng)
    images = random_images(config, rng)
    expected = numpy_vit.vit_of(images.astype(np.float64), weights, config, both_heads=True)
    assert np.abs(expected[0] - expected[1]).max() > 0.1
    logits = network.set_train(True)(ms.Tensor(images))
    for found, reference in zip(logits, expected, strict=True):
        np.testing.assert_allclose(found.asnumpy(), reference, atol=2e-5)


class Stages(nn.Cell):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def construct(self, images):
        tokens = self.network.encode(images)
        return self.network.embed(images), tokens, self.network.pooled(tokens)


def tokens_of(images, weights, config):
    """NumPy reference: the input of the first block, and all tokens after the last norm."""
    layout = (config.patch_stride, config.pos_embed, config.prefix_pos_embed)
    embedded = numpy_vit.embed(images.astype(np.float64), weights, *layout)
    numerics = (config.num_heads, config.norm_eps, numpy_vit.GELU[config.gelu])
    tokens = numpy_vit.encode(embedded, weights, *numerics, config.grid)
    if config.pool != "mean_norm":
        tokens = numpy_vit.layer_norm(tokens, weights["norm.gamma"], weights["norm.beta"], config.norm_eps)
    return embedded, tokens


@pytest.mark.eager
@pytest.mark.slow
@pytest.mark.parametrize("name", ["map_with_all", "mean_norm_with_all", "distilled_with_all"])
def test_embed_encode_and_pooled_match_the_numpy_reference(rng, name):
    config = config_of(name)
    network, weights = random_network(config, rng)
    images = random_images(config, rng)
    embedded, tokens, features = (part.asnumpy() for part in Stages(network).set_train(False)(ms.Tensor(images)))
    expected = tokens_of(images, weights, config)
    assert expected[0].shape == (2, config.prefix_tokens + config.num_patches, 12)
    np.testing.assert_allclose(embedded, expected[0], atol=2e-5)
    np.testing.assert_allclose(tokens, expected[1], atol=2e-5)
    assert features.shape == (2, config.pre_logits_dim or 12)
    logits = features @ weights["dense.weight"].T + weights["dense.bias"]
    expected = numpy_vit.vit_of(images.astype(np.float64), weights, config, both_heads=config.distilled)
    np.testing.assert_allclose(logits, expected[0] if config.distilled else expected, atol=2e-5)


@pytest.mark.slow
def test_forward_features_follow_the_training_mode_of_the_network(rng):
    config = config_of("registers", image_size=16, patch_dropout=0.5, depth=1)
    network, _ = random_network(config, rng)
    images = ms.Tensor(random_images(config, rng))
    evaluated = network.forward_features(images).asnumpy()
    assert evaluated.shape == (2, 4 + 16, 12)
    network.set_train(True)
    assert network.forward_features(images).shape == (2, 4 + 8, 12)
    network.set_train(False)
    np.testing.assert_array_equal(network.forward_features(images).asnumpy(), evaluated)


@pytest.mark.slow
def test_forward_features_of_two_networks_are_independent(rng):
    config = config_of("plain", depth=1)
    images = ms.Tensor(random_images(config, rng))
    first, second = (random_network(config, rng)[0].forward_features(images).asnumpy() for _ in range(2))
    assert np.abs(first - second).max() > 0.1


@pytest.mark.slow
def test_apply_numerics_changes_a_compiled_network(rng):
    config = config_of("map_with_all", depth=1, norm_eps=1e-6, gelu="tanh")
    network, weights = random_network(config, rng)
    images = random_images(config, rng)
    results = []
    for settings in ({}, {"norm_eps": 0.5}, {"gelu": "exact"}):
        config = replace(config, **settings)
        network.apply_numerics(replace(config, dropout=0.5))
        assert network.config == config, "other settings do not change"
        results.append(network(ms.Tensor(images)).asnumpy())
        expected = numpy_vit.vit_of(images.astype(np.float64), weights, config)
        np.testing.assert_allclose(results[-1], expected, atol=2e-5)
    assert np.abs(results[1] - results[0]).max() > 0.01 and np.abs(results[2] - results[1]).max() > 5e-5


@pytest.mark.slow
def test_apply_numerics_changes_compiled_forward_features(rng):
    config = config_of("mean_norm_with_all", depth=1, norm_eps=1e-6, gelu="tanh")
    network, weights = random_network(config, rng)
    images = random_images(config, rng)
    results = []
    for settings in ({}, {"norm_eps": 0.5}, {"gelu": "exact"}):
        config = replace(config, **settings)
        network.apply_numerics(config)
        results.append(network.forward_features(ms.Tensor(images)).asnumpy())
        np.testing.assert_allclose(results[-1], tokens_of(images, weights, config)[1], atol=2e-5)
    assert np.abs(results[1] - results[0]).max() > 0.01 and np.abs(results[2] - results[1]).max() > 5e-5


def test_apply_numerics_changes_the_preprocessing(rng):
    network = ViT(config_of("plain", depth=1))
    preprocessing = Preprocessing((0.5,) * 3, (0.5,) * 3, "bicubic", 0.9)
    network.apply_numerics(config_of("plain", preprocessing=preprocessing))
    assert network.config == config_of("plain", depth=1, preprocessing=preprocessing)


@pytest.mark.eager
@pytest.mark.slow
@pytest.mark.parametrize("name", ["map_with_all", "mean_norm_with_all", "distilled_with_all"])
def test_every_parameter_has_a_gradient(rng, name):
    config = config_of(name, depth=1)
    network, _ = random_network(config, rng)
    images = ms.Tensor(random_images(config, rng))

    def loss(images):
        logits = network(images)
        if config.distilled:
            logits = logits[0] + 2 * logits[1]
        return (logits**2).sum()

    parameters = network.trainable_params()
    gradients = ms.grad(loss, None, parameters)
    network.set_train(True)
    for parameter, gradient in zip(parameters, gradients(images), strict=True):
        # A bias that all keys share does not change the softmax.
        assert np.abs(gradient.asnumpy()).max() > 1e-3 or parameter.name.endswith("key_norm.beta"), parameter.name


def test_sincos_pos_embed_is_not_a_parameter():
    assert "pos_embedding" not in {parameter.name for parameter in ViT(config_of("sincos2d")).get_parameters()}


class MeanStem(nn.Cell):
    """Replaces a convolutional network: the mean of each square of 32 x 32 pixels."""

    out_channels = 3

    def construct(self, x):
        batch, channels, height, width = x.shape
        return x.reshape(batch, channels, height // 32, 32, width // 32, 32).mean((3, 5))


def test_the_feature_map_of_a_stem_is_divided_into_patches(rng, monkeypatch):
    monkeypatch.setattr("mindvit.models.vit.make_stem", lambda name, in_channels: MeanStem())
    config = config_of("plain", image_size=(128, 192), patch_size=64, stem="r26", depth=1)
    network, weights = random_network(config, rng)
    assert weights["patch_embedding.conv.weight"].shape == (12, 3, 2, 2)
    assert weights["pos_embedding"].shape == (1, 1 + 2 * 3, 12)
    images = rng.standard_normal((2, 3, 128, 192)).astype(np.float32)
    features = images.astype(np.float64).reshape(2, 3, 4, 32, 6, 32).mean((3, 5))
    expected = numpy_vit.vit_of(features, weights, config)
    np.testing.assert_allclose(network(ms.Tensor(images)).asnumpy(), expected, atol=2e-5)
