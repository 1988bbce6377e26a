from dataclasses import replace
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindvit import create_model
from mindvit.models import ViT, ViTConfig
from tests import numpy_vit

TABLE = Path(__file__).parent.parent / "references/tutorial_vit_b_16_224_parameters.tsv"


def tutorial_shapes():
    rows = (line.split("\t") for line in TABLE.read_text().splitlines())
    return {name: tuple(map(int, shape.split("x"))) for name, shape in rows}


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


SMALL = ViTConfig(image_size=12, patch_size=4, num_classes=7, embed_dim=12, depth=3, num_heads=3, mlp_dim=20)


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({"norm_eps": 1e-7, "gelu": "tanh"}, {"eps": 1e-7, "gelu": numpy_vit.gelu_tanh}),
        ({"norm_eps": 1e-1, "gelu": "exact"}, {"eps": 1e-1, "gelu": numpy_vit.gelu_exact}),
    ],
)
def test_epsilon_and_gelu_form_are_settings(rng, settings, reference):
    network = ViT(ViTConfig(**{**SMALL.__dict__, **settings})).set_train(False)
    shapes = {parameter.name: parameter.shape for parameter in network.get_parameters()}
    weights = numpy_vit.random_weights(shapes, rng, scale=0.5)
    for parameter in network.get_parameters():
        parameter.set_data(ms.Tensor(weights[parameter.name]))
    images = rng.standard_normal((3, 3, 12, 12)).astype(np.float32)
    expected = numpy_vit.vit(images.astype(np.float64), weights, num_heads=3, **reference)
    np.testing.assert_allclose(network(ms.Tensor(images)).asnumpy(), expected, atol=2e-4)


def test_fresh_weights_start_as_the_papers_do():
    network = create_model("vit_ti_16_224")
    assert not network.cls.asnumpy().any()
    assert not network.dense.weight.asnumpy().any()
    assert network.pos_embedding.asnumpy().std() == pytest.approx(0.02, rel=0.05)
    for name, limit in (("qkv", (6 / (192 + 192)) ** 0.5), ("dense1", (6 / (192 + 768)) ** 0.5)):
        values = next(p for p in network.get_parameters() if p.name.endswith(f"{name}.weight")).asnumpy()
        assert np.abs(values).max() <= limit
        assert values.std() == pytest.approx(limit / 3**0.5, rel=0.05)


class Through(nn.Cell):
    def construct(self, x, key=None):
        return x


def test_dropout_acts_on_the_positions_and_before_the_head(rng):
    network = create_model("vit_mini_4_32", num_classes=5, depth=1, dropout=0.5)
    # With nothing between them, an element reaches the output if both dropouts keep it.
    network.transformer, network.norm, network.dense = Through(), nn.Identity(), nn.Identity()
    network.cls.set_data(ms.Tensor(np.ones(network.cls.shape, np.float32)))
    images = ms.Tensor(rng.standard_normal((64, 3, 32, 32)).astype(np.float32))
    assert (network.set_train(True)(images).asnumpy() != 0).mean() == pytest.approx(0.25, abs=0.03)
    assert (network.set_train(False)(images).asnumpy() != 0).all()


def test_every_block_has_the_dropouts_of_the_settings():
    network = create_model("vit_mini_4_32", dropout=0.2, attention_dropout=0.3)
    assert len(network.transformer.layers) == 6
    for block in network.transformer.layers:
        attention, feed_forward = (residual.cell[1] for residual in block)
        assert (attention.dropout.p, attention.attention_dropout.p, feed_forward.dropout.p) == (0.2, 0.3, 0.2)


def weighted(config, rng):
    """A network with random weights, and these in float64."""
    network = ViT(config).set_train(False)
    shapes = {parameter.name: parameter.shape for parameter in network.get_parameters()}
    weights = numpy_vit.random_weights(shapes, rng, scale=0.5)
    for parameter in network.get_parameters():
        parameter.set_data(ms.Tensor(weights[parameter.name]))
    return network, {name: values.astype(np.float64) for name, values in weights.items()}


def test_mean_pooling_has_no_class_token_and_classifies_the_mean_of_the_patches(rng):
    network, weights = weighted(replace(SMALL, depth=1, pool="mean"), rng)
    assert "cls" not in weights
    assert weights["pos_embedding"].shape == (1, 9, 12)
    network.transformer = Through()
    images = rng.standard_normal((2, 3, 12, 12)).astype(np.float32)
    kernel, bias = weights["patch_embedding.conv.weight"], weights["patch_embedding.conv.bias"]
    tokens = numpy_vit.patches(images.astype(np.float64), kernel, bias) + weights["pos_embedding"]
    tokens = numpy_vit.layer_norm(tokens, weights["norm.gamma"], weights["norm.beta"], 1e-7)
    expected = tokens.mean(1) @ weights["dense.weight"].T + weights["dense.bias"]
    np.testing.assert_allclose(network(ms.Tensor(images)).asnumpy(), expected, atol=1e-4)


def test_pre_logits_are_a_tanh_layer_before_the_head(rng):
    network, weights = weighted(replace(SMALL, depth=1, pre_logits_dim=6), rng)
    network.transformer, network.norm = Through(), nn.Identity()
    images = ms.Tensor(rng.standard_normal((2, 3, 12, 12)).astype(np.float32))
    token = (weights["cls"] + weights["pos_embedding"][:, :1])[0]
    hidden = np.tanh(token @ weights["pre_logits.weight"].T + weights["pre_logits.bias"])
    expected = hidden @ weights["dense.weight"].T + weights["dense.bias"]
    np.testing.assert_allclose(network(images).asnumpy(), expected.repeat(2, 0), atol=1e-4)


def test_fixed_positions_are_sines_and_cosines_and_not_trained():
    network = ViT(replace(SMALL, positions="sincos2d"))
    assert "pos_embedding" not in {parameter.name for parameter in network.get_parameters()}
    table = network.pos_embedding.asnumpy()[0]
    assert not table[0].any(), "the class token has no place"
    patch = table[1 + 2 * 3 + 1]  # Row 2, column 1.
    frequencies = np.array([1.0, 0.01, 0.0001])
    expected = [f(place * frequencies) for place in (1, 2) for f in (np.sin, np.cos)]
    np.testing.assert_allclose(patch, np.concatenate(expected), atol=1e-6)
