"""Number of parameters and FLOPs of a network, computed from its configuration."""

from mindvit.analysis.stem_counting import stem_macs, stem_parameters
from mindvit.models.local_attention import block_size, num_blocked_scores
from mindvit.models.stems import stem_channels, stem_stride
from mindvit.models.vit_config import ViTConfig
from mindvit.ops.dropout import num_kept_patches


def parameter_count(config: ViTConfig) -> int:
    """Number of trainable parameters."""
    width, hidden, features = config.embed_dim, config.mlp_dim, config.pre_logits_dim or config.embed_dim
    channels, patch = _patch_input(config)
    total = _dense(channels * patch**2, width) + config.prefix_tokens * width
    if config.stem is not None:
        total += stem_parameters(config.stem, config.in_channels)
    if config.pos_embed == "learned":
        total += (config.pos_embed_tokens + config.num_patches) * width
    elif config.pos_embed == "learned2d":
        total += sum(config.grid) * width // 2
    block = 4 * width + _dense(width, 3 * width) + _dense(width, width) + _dense(width, hidden) + _dense(hidden, width)
    block += 4 * config.head_dim * config.qk_norm
    if config.layer_scale is not None:
        block += 2 * width
    if config.pos_embed == "relative":
        block += config.num_heads * (2 * config.grid[0] - 1) * (2 * config.grid[1] - 1)
    total += config.depth * block + 2 * width
    if config.pool == "map":
        total += 3 * width + 4 * _dense(width, width) + _dense(width, hidden) + _dense(hidden, width)
    if config.pre_logits_dim is not None:
        total += _dense(width, features)
    return total + (1 + config.distilled) * _dense(features, config.num_classes)


def forward_flops(config: ViTConfig) -> int:
    """Floating point operations of the forward pass of one image: two per multiply-add of a matrix product.

    A block with T tokens of dimension D takes ``4 T D^2`` multiply-adds for the four projections, ``2 T^2 D`` for
    scores and weighted sums, and ``2 T D mlp_dim`` for the feed-forward layer. As usual, norms, activations and softmax
    are not counted.
    """
    return 2 * _macs(config, config.num_patches)


def training_flops(config: ViTConfig) -> int:
    """Floating point operations of the forward and backward pass of one image: three times those of the forward pass.

    Patches that ``patch_dropout`` drops count only in the patch embedding.
    """
    return 6 * _macs(config, num_kept_patches(config.num_patches, config.patch_dropout))


def local_attention_pairs(grid: tuple[int, int], window_size: int, prefix_tokens: int) -> int:
    """Pairs of a query and a key whose score ``LocalAttention`` computes, per head and image.

    Raises:
        ValueError: if the window size is even or less than 1.
    """
    block = block_size(grid, window_size, prefix_tokens)
    if block is None:
        return (prefix_tokens + grid[0] * grid[1]) ** 2
    return num_blocked_scores(grid, window_size, prefix_tokens, block)


def _macs(config: ViTConfig, patches: int) -> int:
    width, hidden, features = config.embed_dim, config.mlp_dim, config.pre_logits_dim or config.embed_dim
    channels, patch = _patch_input(config)
    tokens = config.prefix_tokens + patches
    pairs = tokens**2
    if config.window_size is not None:
        pairs = local_attention_pairs(config.grid, config.window_size, config.prefix_tokens)
    total = config.num_patches * width * channels * patch**2
    if config.stem is not None:
        total += stem_macs(config.stem, config.in_channels, *config.image_shape)
    total += config.depth * (4 * tokens * width**2 + 2 * pairs * width + 2 * tokens * width * hidden)
    if config.pool == "map":
        total += 2 * width**2 + 2 * tokens * width**2 + 2 * tokens * width + 2 * width * hidden
    if config.pre_logits_dim is not None:
        total += width * features
    return total + (1 + config.distilled) * features * config.num_classes


def _patch_input(config: ViTConfig) -> tuple[int, int]:
    """Channels of the image or feature map that is divided into patches, and the side of a patch in its cells."""
    if config.stem is None:
        return config.in_channels, config.patch_size
    return stem_channels(config.stem), config.patch_size // stem_stride(config.stem)


def _dense(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs
