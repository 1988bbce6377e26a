"""Intermediate results of a network, compared with a NumPy reference from the first token to the logits."""

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindvit.models import ViT, ViTConfig
from mindvit.models.intermediates import Intermediates
from tests import numpy_vit
from tests.numpy_vit import gelu_tanh, layer_norm, softmax

pytestmark = pytest.mark.eager

SIZES = {
    "image_size": (8, 12),
    "patch_size": 4,
    "num_classes": 3,
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
    "mlp_dim": 24,
}
BATCH, HEADS, PATCHES = 3, 2, 6

KINDS = {
    "class token": {},
    "only patches": {"pool": "mean", "pos_embed": "sincos2d"},
    "mean with class token": {"pool": "mean", "class_token": True, "layer_scale": 0.5},
    "registers": {"register_tokens": 3},
    "distilled, registers": {"distilled": True, "register_tokens": 2, "prefix_pos_embed": False},
    "qk_norm": {"qk_norm": True, "pre_logits_dim": 5},
    "relative position bias": {"pos_embed": "relative", "register_tokens": 1},
    "mean_norm": {"pool": "mean_norm", "pos_embed": "learned2d"},
}

# Keeps cells alive: MindSpore compiles a cell again if another one was freed in the meantime.
alive = []


def vit(**settings):
    rng, network = np.random.default_rng(5), ViT(ViTConfig(**{**SIZES, **settings}))
    for parameter in network.get_parameters():
        values = 0.3 * rng.standard_normal(parameter.shape) + parameter.name.endswith("gamma")
        parameter.set_data(Tensor(values.astype(np.float32)))
    alive.append(network)
    return network.set_train(False)


def weights_of(network):
    return {parameter.name: parameter.asnumpy().astype(np.float64) for parameter in network.get_parameters()}


def run(cell, images):
    alive.append(cell)
    return {name: values.asnumpy() for name, values in cell(Tensor(images)).items()}


def embed(x, w, config, network):
    """The prefix tokens, then the patch tokens, with position embeddings."""
    prefix = [w[name][0] for name in ("cls", "distillation", "registers") if name in w]
    prefix = np.concatenate(prefix) if prefix else np.empty((0, 16))
    if config.pos_embed == "learned":
        table = w["pos_embedding"][0]
        count = len(table) - PATCHES
        prefix[:count] += table[:count]
        x = x + table[count:]
    elif config.pos_embed == "learned2d":
        rows, columns = w["pos_rows"][0], w["pos_columns"][0]
        x = x + np.stack([np.concatenate([columns[c], rows[r]]) for r in range(2) for c in range(3)])
    elif config.pos_embed == "sincos2d":
        x = x + network.pos_embedding.asnumpy()
    return np.concatenate([np.tile(prefix, (len(x), 1, 1)), x], 1)


def relative_bias(table, prefix):
    bias = np.zeros((HEADS, prefix + PATCHES, prefix + PATCHES))
    for query in range(PATCHES):
        for key in range(PATCHES):
            rows, columns = query // 3 - key // 3, query % 3 - key % 3
            bias[:, prefix + query, prefix + key] = table[:, rows + 1, columns + 2]
    return bias


def attention(x, w, prefix, config):
    """The attention weights, and the output of the attention."""
    qkv = x @ w[f"{prefix}.qkv.weight"].T + w[f"{prefix}.qkv.bias"]
    query, key, value = (
        part.reshape(len(x), -1, HEADS, 8).transpose(0, 2, 1, 3)
        for part in (qkv[..., i * 16 : i * 16 + 16] for i in range(3))
    )
    if config.qk_norm:
        query, key = (
            layer_norm(part, w[f"{prefix}.{name}.gamma"], w[f"{prefix}.{name}.beta"], config.norm_eps)
            for part, name in ((query, "query_norm"), (key, "key_norm"))
        )
    scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(8)
    if config.pos_embed == "relative":
        scores = scores + relative_bias(w[f"{prefix}.relative_bias.table"], config.prefix_tokens)
    weights = softmax(scores)
    heads = (weights @ value).transpose(0, 2, 1, 3).reshape(x.shape)
    return weights, heads @ w[f"{prefix}.out.weight"].T + w[f"{prefix}.out.bias"]


def reference(images, network):
    """All intermediate results by name, in float64."""
    w, config = weights_of(network), network.config
    images = images.astype(np.float64)
    x = numpy_vit.patches(images, w["patch_embedding.conv.weight"], w["patch_embedding.conv.bias"])
    x = embed(x, w, config, network)
    results = {"embedding": x}
    for block in range(config.depth):
        parts = [f"transformer.layers.{block}.{part}" for part in (0, 1)]
        scales = [w.get(f"{part}.layer_scale", 1.0) for part in parts]
        norms = [[w[f"{part}.cell.0.{name}"] for name in ("gamma", "beta")] for part in parts]
        normed = layer_norm(x, *norms[0], config.norm_eps)
        results[f"block{block}.attention"], branch = attention(normed, w, f"{parts[0]}.cell.1", config)
        x = x + scales[0] * branch
        normed = layer_norm(x, *norms[1], config.norm_eps)
        x = x + scales[1] * numpy_vit.feed_forward(normed, w, f"{parts[1]}.cell.1", gelu_tanh)
        results[f"block{block}"] = x
    norm = [w["norm.gamma"], w["norm.beta"], config.norm_eps]
    results["tokens"] = tokens = x if config.pool == "mean_norm" else layer_norm(x, *norm)
    features = tokens[:, 0] if config.pool == "cls" else tokens[:, config.prefix_tokens :].mean(1)
    features = layer_norm(features, *norm) if config.pool == "mean_norm" else features
    if config.pre_logits_dim:
        features = np.tanh(features @ w["pre_logits.weight"].T + w["pre_logits.bias"])
    results["features"] = features
    logits = features @ w["dense.weight"].T + w["dense.bias"]
    if config.distilled:
        logits = (logits + tokens[:, 1] @ w["dense_distillation.weight"].T + w["dense_distillation.bias"]) / 2
    results["logits"] = logits
    return results


@pytest.fixture
def images(rng):
    return rng.standard_normal((BATCH, 3, 8, 12)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_every_result_has_the_documented_name_shape_and_value(images, settings):
    network = vit(**settings)
    found, expected = run(Intermediates(network), images), reference(images, network)
    assert list(found) == list(expected), "same order"
    for name, values in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == values.shape, name
        np.testing.assert_allclose(found[name], values, atol=2e-5, rtol=2e-5, err_msg=name)
    tokens = network.config.prefix_tokens + PATCHES
    assert found["block1.attention"].shape == (BATCH, HEADS, tokens, tokens)
    np.testing.assert_allclose(found["block0.attention"].sum(-1), 1, atol=1e-6)
    assert found["block0.attention"].std() > 0.01, "the attention is not uniform"


@pytest.mark.slow
def test_results_equal_those_of_the_network_with_or_without_attention(images):
    network = vit(register_tokens=1, depth=1)
    found, with_attention = (run(Intermediates(network, attention=value), images) for value in (False, True))
    np.testing.assert_allclose(found["logits"], network(Tensor(images)).asnumpy(), atol=1e-6)
    np.testing.assert_allclose(found["tokens"], network.forward_features(Tensor(images)).asnumpy(), atol=1e-6)
    assert list(found) == ["embedding", "block0", "tokens", "features", "logits"]
    assert list(with_attention) == ["embedding", "block0.attention", "block0", "tokens", "features", "logits"]
    for name, values in found.items():
        np.testing.assert_allclose(values, with_attention[name], atol=1e-6, err_msg=name)


def test_the_weights_of_the_network_are_shared_with_unchanged_names(images):
    network = vit(depth=1)
    names = [parameter.name for parameter in network.get_parameters()]
    cell = Intermediates(network)
    before = run(cell, images)
    assert [parameter.name for parameter in network.get_parameters()] == names
    assert [id(item) for item in cell.get_parameters()] == [id(item) for item in network.get_parameters()]
    layer = network.transformer.layers[0][1].cell[1].dense2
    layer.bias.set_data(layer.bias + 1.0)
    after = run(cell, images)
    np.testing.assert_allclose(after["block0"], before["block0"] + 1.0, atol=1e-5)
    for name in ("embedding", "block0.attention"):
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)


@pytest.mark.slow
@pytest.mark.graph
def test_results_can_be_used_in_a_graph_and_have_gradients(images):
    """The gradient of the class token in a block output by the pixels, as a saliency map needs it."""
    network = vit(depth=1)
    cell = Intermediates(network, attention=False)
    alive.append(cell)

    def score(images):
        return cell(images)["block0"][:, 0].sum()

    gradient = ms.grad(score)(Tensor(images)).asnumpy()
    assert gradient.shape == images.shape
    step = np.zeros_like(images)
    step[1, 2, 5, 7] = 1e-3
    scores = [reference(images.astype(np.float64) + sign * step, network)["block0"][:, 0].sum() for sign in (1, -1)]
    np.testing.assert_allclose(gradient[1, 2, 5, 7], (scores[0] - scores[1]) / 2e-3, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["cls", "mean", "mean_norm"])
def test_forward_features_returns_all_tokens(images, pool):
    network = vit(pool=pool, depth=1)
    expected = reference(images, network)["tokens"]
    found = network.forward_features(Tensor(images)).asnumpy()
    assert found.shape == (BATCH, (pool == "cls") + PATCHES, 16)
    np.testing.assert_allclose(found, expected, atol=2e-5)


class Parent(nn.Cell):
    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, images):
        return self.network(images)


@pytest.mark.slow
@pytest.mark.graph
def test_forward_features_does_not_change_the_network_in_a_parent_cell(images):
    network = vit(depth=1)
    names = [name for name, _ in network.cells_and_names()]
    network.forward_features(Tensor(images))
    assert [name for name, _ in network.cells_and_names()] == names
    parent = Parent(network)
    alive.append(parent)
    np.testing.assert_allclose(parent(Tensor(images)).asnumpy(), reference(images, network)["logits"], atol=2e-5)


@pytest.mark.graph
@pytest.mark.slow
def test_forward_features_follows_later_changes_of_the_network(images):
    network = vit(depth=1, dropout=0.5)
    in_evaluation = network.forward_features(Tensor(images)).asnumpy()
    network.set_train()
    in_training = [network.forward_features(Tensor(images)).asnumpy() for _ in range(2)]
    assert network.training
    assert np.abs(in_training[0] - in_training[1]).max() > 0.1, "dropout acts"
    network.set_train(False)
    np.testing.assert_array_equal(network.forward_features(Tensor(images)).asnumpy(), in_evaluation)
    network.apply_numerics(replace(network.config, norm_eps=0.5))
    expected = reference(images, network)["tokens"]
    np.testing.assert_allclose(network.forward_features(Tensor(images)).asnumpy(), expected, atol=2e-5)
    assert np.abs(in_evaluation - expected).max() > 0.1
