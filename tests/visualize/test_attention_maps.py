"""Attention maps, compared with NumPy: the weights of each head, and the product of matrices of the paper."""

import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from mindvit.data.transforms import eval_input
from mindvit.errors import UserError
from mindvit.factory import TrainedModel
from mindvit.models import ViT, ViTConfig
from mindvit.models.attention_weights import AttentionWeights
from mindvit.models.vit_config import Preprocessing
from mindvit.visualize.attention_maps import (
    AttentionMaps,
    evaluation_crop,
    overlay,
    rollout,
    scaled,
)
from mindvit.weights.metadata import CheckpointMetadata
from tests import numpy_vit

pytestmark = pytest.mark.eager

SIZES = {
    "image_size": (8, 12),
    "patch_size": 4,
    "num_classes": 3,
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
    "mlp_dim": 24,
    "preprocessing": Preprocessing((0.5,) * 3, (0.5,) * 3, crop_pct=1.0),
}
KINDS = {
    "class token": {"register_tokens": 1},
    "distilled": {"distilled": True},
    "mean, local attention, overlapping patches": {
        "pool": "mean",
        "class_token": True,
        "window_size": 3,
        "patch_stride": 2,
    },
    "map": {"pool": "map", "pos_embed": "relative"},
}

# Keeps cells alive: MindSpore compiles a cell again if another one was freed in the meantime.
alive = []


def trained(**settings):
    rng, network = np.random.default_rng(5), ViT(ViTConfig(**{**SIZES, **settings}))
    for parameter in network.get_parameters():
        values = 0.5 * rng.standard_normal(parameter.shape) + parameter.name.endswith("gamma")
        parameter.set_data(Tensor(values.astype(np.float32)))
    alive.append(network)
    return TrainedModel(network, CheckpointMetadata("vit_mini_4_32", network.config))


@pytest.fixture(scope="module")
def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 45, 3)).astype(np.uint8))


def reference(image, network):
    """The logits, the weights of each block, and the weights of the probe of pool map, in float64."""
    config = network.config
    w = {parameter.name: parameter.asnumpy().astype(np.float64) for parameter in network.get_parameters()}
    pixels = eval_input(image, config.image_shape, config.preprocessing).astype(np.float64)[None]
    x = numpy_vit.embed(pixels, w, config.patch_stride, config.pos_embed)
    numerics = (config.num_heads, config.norm_eps, numpy_vit.GELU[config.gelu], config.grid, config.window_size)
    x, weights = numpy_vit.blocks(x, w, *numerics)
    probe = None
    if config.pool == "map":
        normed = numpy_vit.layer_norm(x[0], w["norm.gamma"], w["norm.beta"], config.norm_eps)
        query = w["pool.probe"][0] @ w["pool.query.weight"].T + w["pool.query.bias"]
        key = (normed @ w["pool.keys_and_values.weight"].T + w["pool.keys_and_values.bias"])[:, :16]
        probe = np.mean(
            [numpy_vit.softmax(query[:, h] @ key[:, h].T / np.sqrt(8)) for h in (slice(8), slice(8, 16))], 0
        )
    return numpy_vit.vit_of(pixels, w, config)[0], [block[0] for block in weights], probe


def product_of_matrices(weights, fuse):
    """Attention rollout as the paper writes it: a matrix of all tokens, block by block."""
    whole = np.eye(len(weights[0][0]))
    for block in weights:
        mixed = fuse(block) + np.eye(len(whole))
        whole = mixed / mixed.sum(1, keepdims=True) @ whole
    return whole


def query_rows(config):
    """The rows of the tokens that the head reads."""
    if config.pool == "cls":
        return slice(0, 1 + config.distilled)
    return slice(config.prefix_tokens, None)


@pytest.mark.slow
@pytest.mark.graph
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(value, id=name, marks=[pytest.mark.slow] * (index > 0))
        for index, (name, value) in enumerate(KINDS.items())
    ],
)
def test_heads_and_rollout_are_those_of_numpy(image, settings):
    model = trained(**settings)
    config = model.network.config
    maps = AttentionMaps(model)
    alive.append(maps)
    found = maps(image)
    logits, weights, probe = reference(image, model.network)
    np.testing.assert_allclose(found.logits, logits, atol=2e-4)
    patches = slice(config.prefix_tokens, None)
    rows = np.stack([block[:, query_rows(config)].mean(1)[:, patches] for block in weights])
    np.testing.assert_allclose(found.heads, rows.reshape(2, 2, *config.grid), atol=1e-5)
    whole = product_of_matrices(weights, lambda block: block.mean(0))
    row = (whole[query_rows(config)].mean(0) if probe is None else probe[0] @ whole)[patches]
    np.testing.assert_allclose(found.rollout, row.reshape(config.grid), atol=1e-5)
    assert found.rollout.std() > 1e-3, "the map is not uniform"
    assert found.rollout.sum() <= 1 + 1e-6


@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
def test_heads_are_fused_by_their_mean_their_greatest_or_their_least_weight(fusion, rng):
    cell = AttentionWeights(trained(depth=1).network, fusion)
    weights = rng.random((1, 2, 7, 7)).astype(np.float32)
    np.testing.assert_allclose(cell._fuse(Tensor(weights)).asnumpy(), getattr(weights, fusion)(1), atol=1e-7)


def test_rollout_by_hand():
    first, second = np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([[0.8, 0.2], [0.4, 0.6]])
    # (A + I) / 2 of the second block, times that of the first.
    by_hand = np.array([0.9, 0.1]) @ np.array([[0.75, 0.25], [0.125, 0.875]])
    np.testing.assert_allclose(rollout([first, second], np.array([1.0, 0.0])), by_hand)


def test_the_smallest_weights_of_a_block_are_discarded():
    weights = np.array([[0.5, 0.4, 0.1], [0.3, 0.6, 0.1], [0.2, 0.2, 0.6]])
    found = rollout([weights], np.array([0.0, 1.0, 0.0]), discard_ratio=0.25)
    # Two of nine weights are discarded, the two of 0.1; the row is scaled to the sum 1 again.
    np.testing.assert_allclose(found, np.array([0.3, 1.6, 0.0]) / 1.9)
    assert weights[0, 2] == 0.1, "the argument is not changed"


@pytest.mark.parametrize("ratio", [-0.1, 1.0, float("nan")])
def test_a_discard_ratio_outside_its_range_is_refused(ratio):
    with pytest.raises(ValueError, match="discard_ratio must be at least 0"):
        AttentionMaps(trained(), discard_ratio=ratio)


def test_outputs_that_are_not_finite_are_reported(image):
    maps = AttentionMaps(trained(depth=1))
    maps._cell = lambda images: (Tensor(np.full((1, 3), np.nan, np.float32)), (), ())
    with pytest.raises(UserError, match="not finite"):
        maps(image)


def test_a_map_is_scaled_from_0_to_1():
    np.testing.assert_allclose(scaled(np.array([[2.0, 3.0], [4.0, 6.0]])), [[0, 0.25], [0.5, 1]])
    np.testing.assert_array_equal(scaled(np.full((2, 2), 0.3)), np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("size", "shape", "expected"),
    [
        ((2000, 1000), (32, 32), (1000, 1000)),
        ((8, 8), (16, 16), (448, 448)),
        ((4000, 3000), (32, 64), (1024, 512)),
        ((640, 480), (48, 32), (320, 480)),
    ],
)
def test_the_crop_has_the_shape_of_the_input_and_a_size_that_can_be_seen(size, shape, expected):
    config = ViTConfig(**{**SIZES, "image_size": shape})
    assert evaluation_crop(Image.new("RGB", size), config).size == expected


def test_the_crop_is_what_the_network_sees(image):
    config = ViTConfig(**{**SIZES, "image_size": (16, 12), "patch_size": 4})
    shown = evaluation_crop(image, config).resize((12, 16), Image.Resampling.BOX)
    mean, std = 0.5, 0.5
    seen = eval_input(image, (16, 12), config.preprocessing).transpose(1, 2, 0) * std + mean
    assert np.corrcoef(np.asarray(shown).ravel(), seen.ravel())[0, 1] > 0.95


def test_an_overlay_colours_the_attended_patch():
    import matplotlib

    heat = np.zeros((2, 3))
    heat[1, 2] = 1
    drawn = np.asarray(overlay(Image.new("RGB", (90, 60), "white"), heat, "viridis", opacity=1.0))
    low, high = (np.round(255 * np.array(matplotlib.colormaps["viridis"](value)[:3])) for value in (0.0, 1.0))
    np.testing.assert_array_equal(drawn[0, 0], low)
    np.testing.assert_array_equal(drawn[59, 89], high)
    np.testing.assert_array_equal(drawn[45, 75], high)
    half = np.asarray(overlay(Image.new("RGB", (90, 60), "white"), heat, "viridis", opacity=0.5))
    np.testing.assert_allclose(half[0, 0], (low + 255) / 2, atol=1)


def test_the_map_of_overlapping_patches_lies_over_their_centers():
    """Patches of 8 pixels at a distance of 4, over 20 pixels: the centers are at 4, 8, 12 and 16."""
    heat = np.array([[0.0, 0.0, 1.0, 0.0]])
    drawn = np.asarray(overlay(Image.new("RGB", (200, 80), "black"), heat, "gray", 1.0, patch_overlap=2.0))
    assert abs(int(drawn[40, :, 0].argmax()) - 120) <= 1
    assert abs(np.average(np.arange(200), weights=drawn[40, :, 0].astype(float)) - 119.5) < 1
