"""Counting a network's arithmetic."""

from mindvit.models.config import ViTConfig


def forward_flops(config: ViTConfig) -> int:
    """Floating point operations of one picture's forward pass: two for each multiply-add of a matrix product.

    Per block, with T tokens of width D: ``4 T D^2`` multiply-adds in the four projections, ``2 T^2 D`` in scores and
    weighted sums, ``2 T D mlp_dim`` in the feed-forward. Norms, activations and softmax are left out, as is usual.
    """
    width = config.embed_dim
    patches = (config.image_size // config.patch_size) ** 2
    tokens = patches + (config.pool == "cls")
    embedding = patches * width * config.in_channels * config.patch_size**2
    block = 4 * tokens * width**2 + 2 * tokens**2 * width + 2 * tokens * width * config.mlp_dim
    features = config.pre_logits_dim or width
    head = features * config.num_classes + (width * features if config.pre_logits_dim else 0)
    return 2 * (embedding + config.depth * block + head)


def training_flops(config: ViTConfig) -> int:
    """Operations of one picture's forward and backward pass: three times the forward pass's."""
    return 3 * forward_flops(config)
