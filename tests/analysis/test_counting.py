import pytest

from mindvit.analysis.counting import forward_flops, local_attention_pairs, parameter_count, training_flops
from mindvit.models import Attention, ViT, ViTConfig
from mindvit.models.local_attention import block_size
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
    """The figure that torchvision publishes, 17.56 G."""
    assert forward_flops(model_config("vit_b_16_224")) == pytest.approx(2 * 17.56e9, rel=1e-3)


def test_the_flops_of_a_tiny_network_match_hand_calculation():
    tokens = 5
    embedding = 4 * (3 * 4 * 4) * 16
    block = tokens * 16 * 48 + tokens * tokens * 16 + tokens * tokens * 16 + tokens * 16 * 16 + 2 * tokens * 16 * 24
    assert forward_flops(ViTConfig(**TINY)) == 2 * (embedding + 2 * block + 16 * 3)


def test_without_a_class_token_there_is_one_token_less():
    tokens = 4
    embedding = 4 * (3 * 4 * 4) * 16
    block = tokens * 16 * 48 + tokens * tokens * 16 + tokens * tokens * 16 + tokens * 16 * 16 + 2 * tokens * 16 * 24
    assert forward_flops(ViTConfig(**TINY, pool="mean")) == 2 * (embedding + 2 * block + 16 * 3)


def test_a_pre_logits_layer_is_counted_and_reduces_the_head():
    difference = forward_flops(ViTConfig(**TINY, pre_logits_dim=10)) - forward_flops(ViTConfig(**TINY))
    assert difference == 2 * (16 * 10 + 10 * 3 - 16 * 3)


def tokens_of(network):
    """Number of tokens of a network, from its parameters."""
    prefix = ("cls", "distillation", "registers")
    return network.patch_embedding.num_patches + sum(
        parameter.shape[1] for parameter in network.trainable_params() if parameter.name in prefix
    )


def matrix_products(network):
    """Multiply-adds of the weights of a network, each times its number of tokens, and of its attention."""
    tokens, total = tokens_of(network), 0
    for parameter in network.trainable_params():
        name = parameter.name
        if name == "patch_embedding.conv.weight":
            total += parameter.size * network.patch_embedding.num_patches
        elif name.endswith(".weight"):
            all_tokens = name.startswith("transformer.layers.") or name == "pool.keys_and_values.weight"
            total += parameter.size * (tokens if all_tokens else 1)
    for cell in (cell for _, cell in network.cells_and_names() if isinstance(cell, Attention)):
        total += 2 * scores_of(network, cell) * cell.head_dim
    for cell in (cell for _, cell in network.cells_and_names() if isinstance(cell, AttentionPool)):
        total += 2 * tokens * cell.num_heads * cell.head_dim
    return total


def scores_of(network, attention):
    """Scores that one attention cell of a network computes per image, in all heads."""
    tokens, heads = tokens_of(network), attention.num_heads
    if not attention.is_local or not hasattr(attention.attend.attend, "blocks"):
        return heads * tokens**2
    # The mask has an element for each pair of a query and a key of all blocks, padding included.
    return heads * (attention.attend.attend.mask.size + network.config.prefix_tokens * tokens)


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_every_parameter_and_matrix_product_of_a_network_is_counted(name):
    config = config_of(name)
    network = ViT(config)
    assert parameter_count(config) == sum(parameter.size for parameter in network.trainable_params())
    assert forward_flops(config) == 2 * matrix_products(network)


def test_training_takes_three_times_the_forward_pass():
    assert training_flops(ViTConfig(**TINY)) == 3 * forward_flops(ViTConfig(**TINY))


def test_dropped_patches_count_only_in_the_patch_embedding():
    config = ViTConfig(**{**TINY, "image_size": 20}, patch_dropout=0.6)  # 10 of 25 patches are kept.
    tokens, embedding = 11, 25 * (3 * 4 * 4) * 16
    block = 4 * tokens * 16 * 16 + 2 * tokens * tokens * 16 + 2 * tokens * 16 * 24
    assert training_flops(config) == 6 * (embedding + 2 * block + 16 * 3)
    assert forward_flops(config) == forward_flops(ViTConfig(**{**TINY, "image_size": 20}))


def test_local_attention_pairs_grow_linearly_with_the_patches():
    per_patch = [local_attention_pairs((side, side), 7, 1) / side**2 for side in (28, 56, 112, 224)]
    assert max(per_patch) < 200
    assert max(per_patch) < 1.1 * min(per_patch)


@pytest.mark.parametrize("grid", [(7, 7), (14, 14)])
def test_local_attention_pairs_of_small_grids_are_all_pairs(grid):
    assert local_attention_pairs(grid, 7, 1) == (grid[0] * grid[1] + 1) ** 2


def test_local_attention_pairs_of_large_grids_are_those_of_the_blocks():
    grid, window_size, prefix = (30, 41), 5, 2
    height, width = block_size(grid, window_size, prefix)
    blocks = -(-30 // height) * -(-41 // width)
    pairs = blocks * height * width * (prefix + (height + 4) * (width + 4)) + prefix * (prefix + 30 * 41)
    assert local_attention_pairs(grid, window_size, prefix) == pairs
