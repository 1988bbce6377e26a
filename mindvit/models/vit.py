"""The Vision Transformer."""

from dataclasses import replace

import mindspore as ms
from mindspore import Parameter, nn, ops
from mindspore.common.initializer import Normal, XavierUniform, initializer

from mindvit.models.activations import make_gelu
from mindvit.models.dropout import Dropout, PatchDropout, assign_rng_ids
from mindvit.models.encoder import TransformerEncoder
from mindvit.models.feed_forward import FeedForward
from mindvit.models.patch_embedding import PatchEmbedding
from mindvit.models.pooling import make_pool
from mindvit.models.pos_embed import join_rows_and_columns, sincos_2d
from mindvit.models.stems import make_stem, stem_stride
from mindvit.models.vit_config import ViTConfig


class ViT(nn.Cell):
    """The Vision Transformer for classification (Dosovitskiy et al., 2021, "An Image is Worth 16x16 Words").

    Patches of the image, or of a stem's feature map, become tokens; class token, distillation token and registers
    are put before them, in this order; then come the blocks, the norm, the pooling and the head.

    Parameter names and shapes are those of MindSpore's ViT tutorial, so that ``vit_b_16_224.ckpt`` loads as it is.
    Fresh weights follow the paper's own code: Xavier-uniform layers, positions N(0, 0.02), class token and head 0.

    Args:
        config: the sizes and settings.

    Inputs: images, (batch, in_channels, height, width), normalised; in training optionally rng_key, int32 (batch,), a
    random number for each sample, of which all dropout is then a function. Output: logits, (batch, num_classes). A
    distilled network gives the mean of both heads' logits; in training it gives the pair, the class token's first.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.embed_dim
        stride, channels = 1, config.in_channels
        self.has_stem = config.stem is not None
        if self.has_stem:
            self.stem = make_stem(config.stem, config.in_channels)
            stride, channels = stem_stride(config.stem), self.stem.out_channels
        shape = tuple(side // stride for side in config.image_shape)
        self.patch_embedding = PatchEmbedding(shape, config.patch_size // stride, channels, width, config.patch_stride)
        self.has_cls, self.is_distilled = config.has_class_token, config.distilled
        self.num_registers, self.placed_tokens = config.register_tokens, config.placed_tokens
        if self.has_cls:
            self.cls = Parameter(initializer("zeros", (1, 1, width), ms.float32), name="cls")
        if self.is_distilled:
            self.distillation = Parameter(initializer(Normal(0.02), (1, 1, width), ms.float32), name="distillation")
        if self.num_registers:
            shape = (1, self.num_registers, width)
            self.registers = Parameter(initializer(Normal(0.02), shape, ms.float32), name="registers")
        self.pos_embed_kind = config.pos_embed
        if config.pos_embed == "learned":
            self.pos_embedding = _table("pos_embedding", config.placed_tokens + config.num_patches, width)
        elif config.pos_embed == "learned2d":
            self.pos_rows = _table("pos_rows", config.grid[0], width // 2)
            self.pos_columns = _table("pos_columns", config.grid[1], width // 2)
        elif config.pos_embed == "sincos2d":
            self.pos_embedding = sincos_2d(config.grid, width)
        self.dropout = Dropout(config.dropout)
        self.patch_dropout = PatchDropout(config.patch_dropout, config.num_patches, config.prefix_tokens)
        self.transformer = TransformerEncoder(config)
        self.norm = nn.LayerNorm((width,), epsilon=config.norm_eps)
        self.norm_after_pool = config.pool == "mean_norm"
        self.pool = make_pool(config)
        self.has_pre_logits = config.pre_logits_dim is not None
        if self.has_pre_logits:
            self.pre_logits = nn.Dense(width, config.pre_logits_dim, weight_init=XavierUniform(), bias_init="zeros")
            width = config.pre_logits_dim
        self.head_dropout = Dropout(config.dropout)
        self.dense = nn.Dense(width, config.num_classes, weight_init="zeros", bias_init="zeros")
        if config.distilled:
            self.dense_distillation = nn.Dense(width, config.num_classes, weight_init="zeros", bias_init="zeros")
        assign_rng_ids(self)
        # In a list, since a cell among a cell's own must not hold it in turn.
        self._all_tokens: list[nn.Cell] = []

    def construct(self, images, rng_key=None):
        return self.classify(self.encode(images, rng_key), rng_key)

    def forward_features(self, images):
        """All tokens after the last block, (batch, prefix_tokens + patches, embed_dim).

        They are normalised, except where the mean of the patches is taken first (pool mean_norm).
        """
        # Not by ms.jit, after which a cell that holds this one would compute this in place of construct.
        if not self._all_tokens:
            self._all_tokens.append(_AllTokens(self))
        return self._all_tokens[0].set_train(self.training)(images)

    def apply_numerics(self, config: ViTConfig) -> None:
        """Takes over another config's epsilon of the norms, form of the GELU and preparation of images."""
        for _, cell in self.cells_and_names():
            if isinstance(cell, nn.LayerNorm):
                cell.epsilon = config.norm_eps
                cell.layer_norm = ops.LayerNorm(cell.begin_norm_axis, cell.begin_params_axis, config.norm_eps)
            elif isinstance(cell, FeedForward):
                cell.activation = make_gelu(config.gelu)
            cell.compile_cache.clear()
        changes = {"norm_eps": config.norm_eps, "gelu": config.gelu, "preprocessing": config.preprocessing}
        self.config = replace(self.config, **changes)
        self._all_tokens.clear()

    def embed(self, images, rng_key=None):
        """From images to the first block's input: (batch, prefix_tokens + patches, embed_dim)."""
        x = self.patch_embedding(self.stem(images) if self.has_stem else images)
        prefix, placed = self._prefix(), self.placed_tokens
        table = self.pos_embed_table()
        if table is not None:
            x = x + table[:, placed:].astype(x.dtype)
        if prefix is not None:
            if placed:
                rest = prefix[:, placed:]
                prefix = prefix[:, :placed] + table[:, :placed]
                prefix = ops.concat((prefix, rest), 1) if self.num_registers else prefix
            x = ops.concat((ops.tile(prefix.astype(x.dtype), (x.shape[0], 1, 1)), x), 1)
        return self.patch_dropout(self.dropout(x, rng_key), rng_key)

    def encode(self, images, rng_key=None):
        """What ``forward_features`` gives, for use within a graph."""
        return self.last_norm(self.transformer(self.embed(images, rng_key), rng_key))

    def last_norm(self, tokens):
        """The norm after the last block, except where the mean of the patches is taken first."""
        return tokens if self.norm_after_pool else self.norm(tokens)

    def classify(self, tokens, rng_key=None):
        """From what ``encode`` gives to what the network gives."""
        logits = self.dense(self.head_dropout(self.pooled(tokens), rng_key))
        if not self.is_distilled:
            return logits
        second = self.dense_distillation(self.head_dropout(tokens[:, 1], rng_key))
        return (logits, second) if self.training else (logits + second) / 2

    def pooled(self, tokens):
        """From all tokens to the features that the head classifies, (batch, embed_dim or pre_logits_dim)."""
        x = self.pool(tokens)
        if self.norm_after_pool:
            x = self.norm(x)
        if self.has_pre_logits:
            # tanh; ops.tanh is off by 1e-4 beyond 5 on CPU.
            x = 2.0 * ops.sigmoid(2.0 * self.pre_logits(x)) - 1.0
        return x

    def _prefix(self):
        tokens = ()
        if self.has_cls:
            tokens = tokens + (self.cls,)  # noqa: RUF005 (graph mode parses no star)
        if self.is_distilled:
            tokens = tokens + (self.distillation,)  # noqa: RUF005
        if self.num_registers:
            tokens = tokens + (self.registers,)  # noqa: RUF005
        if len(tokens) == 0:
            return None
        return tokens[0] if len(tokens) == 1 else ops.concat(tokens, 1)

    def pos_embed_table(self):
        """The positions that are added to the tokens, (1, placed tokens + patches, embed_dim), or None."""
        if self.pos_embed_kind == "learned2d":
            return join_rows_and_columns(self.pos_rows, self.pos_columns)
        if self.pos_embed_kind in ("learned", "sincos2d"):
            return self.pos_embedding
        return None


class _AllTokens(nn.Cell):
    """What ``forward_features`` of a network computes."""

    def __init__(self, network: ViT) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, images):
        return self.network.encode(images)


def _table(name: str, rows: int, width: int) -> Parameter:
    return Parameter(initializer(Normal(sigma=0.02), (1, rows, width), ms.float32), name=name)
