import pytest

from mindvit.models import Attention, ViT, ViTConfig
from mindvit.analysis.counting import forward_flops, parameter_count, training_flops
from mindvit.models.pooling import AttentionPool
from mindvit.models.variants import model_config
from tests.models.constructions import CONSTRUCTIONS, config_of

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


def tokens_of(network):
    """Tokens of a built network, by its weights."""
    prefix = ("cls", "distillation", "registers")
    return network.patch_embedding.num_patches + sum(
        parameter.shape[1] for parameter in network.trainable_params() if parameter.name in prefix
    )


def matrix_products(network):
    """Multiply-adds of a built network's matrices, each times the tokens it is applied to, and of its attention."""
    tokens, total = tokens_of(network), 0
    for parameter in network.trainable_params():
        name = parameter.name
        if name == "patch_embedding.conv.weight":
            total += parameter.size * network.patch_embedding.num_patches
        elif name.endswith(".weight"):
            of_all = name.startswith("transformer.layers.") or name == "pool.keys_and_values.weight"
            total += parameter.size * (tokens if of_all else 1)
    for cell in (cell for _, cell in network.cells_and_names() if isinstance(cell, Attention)):
        total += 2 * scores_of(network, cell) * cell.head_dim
    for cell in (cell for _, cell in network.cells_and_names() if isinstance(cell, AttentionPool)):
        total += 2 * tokens * cell.num_heads * cell.head_dim
    return total


def scores_of(network, attention):
    """Scores that one attention of a built network computes for an image, in all heads."""
    tokens, heads = tokens_of(network), attention.num_heads
    if not attention.is_local or not hasattr(attention.attend.attend, "blocks"):
        return heads * tokens**2
    blocked, prefix = attention.attend.attend, network.config.prefix_tokens
    of_patches = blocked.mask.size // blocked.mask.shape[-1]  # Queries of all blocks, filled up.
    return heads * (of_patches * (prefix + blocked.reach[0] * blocked.reach[1]) + prefix * tokens)


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_every_weight_and_every_matrix_of_a_built_network_is_counted(name):
    config = config_of(name)
    network = ViT(config)
    assert parameter_count(config) == sum(parameter.size for parameter in network.trainable_params())
    assert forward_flops(config) == 2 * matrix_products(network)


def test_training_takes_three_times_the_forward_pass():
    assert training_flops(ViTConfig(**TINY)) == 3 * forward_flops(ViTConfig(**TINY))


def test_patches_that_are_left_out_in_training_cost_their_embedding_alone():
    config = ViTConfig(**{**TINY, "image_size": 20}, patch_dropout=0.6)  # 10 of 25 patches stay.
    tokens, embedding = 11, 25 * (3 * 4 * 4) * 16
    block = 4 * tokens * 16 * 16 + 2 * tokens * tokens * 16 + 2 * tokens * 16 * 24
    assert training_flops(config) == 6 * (embedding + 2 * block + 16 * 3)
    assert forward_flops(config) == forward_flops(ViTConfig(**{**TINY, "image_size": 20}))
