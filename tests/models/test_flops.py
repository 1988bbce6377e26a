import pytest

from mindvit import create_model
from mindvit.models import ViTConfig
from mindvit.models.flops import forward_flops, training_flops
from mindvit.models.variants import model_config

TINY = {
    "image_size": 8,
    "patch_size": 4,
    "num_classes": 3,
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
    "mlp_dim": 24,
}


def test_vit_b_16_takes_17_56_billion_multiply_adds():
    """The figure that torchvision publishes for it, 17.56 G."""
    assert forward_flops(model_config("vit_b_16_224")) == pytest.approx(2 * 17.56e9, rel=1e-3)


def test_each_part_of_a_tiny_network_is_counted():
    tokens = 5
    embedding = 4 * (3 * 4 * 4) * 16
    block = tokens * 16 * 48 + tokens * tokens * 16 + tokens * tokens * 16 + tokens * 16 * 16 + 2 * tokens * 16 * 24
    assert forward_flops(ViTConfig(**TINY)) == 2 * (embedding + 2 * block + 16 * 3)


def test_the_mean_of_the_patches_has_one_token_less():
    tokens = 4
    embedding = 4 * (3 * 4 * 4) * 16
    block = tokens * 16 * 48 + tokens * tokens * 16 + tokens * tokens * 16 + tokens * 16 * 16 + 2 * tokens * 16 * 24
    assert forward_flops(ViTConfig(**TINY, pool="mean")) == 2 * (embedding + 2 * block + 16 * 3)


def test_a_layer_before_the_head_is_counted_and_narrows_the_head():
    difference = forward_flops(ViTConfig(**TINY, pre_logits_dim=10)) - forward_flops(ViTConfig(**TINY))
    assert difference == 2 * (16 * 10 + 10 * 3 - 16 * 3)


@pytest.mark.parametrize("settings", [{}, {"pool": "mean"}, {"pre_logits_dim": 10}], ids=str)
def test_every_matrix_of_the_network_is_counted(settings):
    """The matrices of a built network, each times the tokens it is applied to, and the attention's own products."""
    config = ViTConfig(**TINY, **settings)
    tokens = 4 if config.pool == "mean" else 5
    network = create_model("vit_mini_4_32", **TINY, **settings)
    total = 2 * config.depth * tokens**2 * config.embed_dim
    for parameter in network.trainable_params():
        if parameter.name.endswith(".weight"):
            applied = 4 if "conv" in parameter.name else tokens if "layers" in parameter.name else 1
            total += parameter.size * applied
    assert forward_flops(config) == 2 * total


def test_training_takes_three_times_the_forward_pass():
    assert training_flops(ViTConfig(**TINY)) == 3 * forward_flops(ViTConfig(**TINY))
