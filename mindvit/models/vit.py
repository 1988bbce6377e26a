"""The Vision Transformer."""

from dataclasses import replace

import mindspore as ms
from mindspore import Parameter, nn, ops
from mindspore.common.initializer import Normal, XavierUniform, initializer

from mindvit.models.encoder import TransformerEncoder
from mindvit.models.feed_forward import FeedForward
from mindvit.models.patch_embedding import PatchEmbedding
from mindvit.models.pooling import make_pool
from mindvit.models.pos_embed import join_rows_and_columns, sincos_2d
from mindvit.models.stems import make_stem, stem_stride
from mindvit.models.vit_config import ViTConfig
from mindvit.ops.dense import Dense
from mindvit.ops.dropout import Dropout, PatchDropout, assign_rng_ids
from mindvit.ops.layer_norm import LayerNorm
from mindvit.ops.weight import Weight

TOKEN_PARAMETERS = ("cls", "distillation", "registers", "pos_embedding", "pos_rows", "pos_columns")
"""Names of the tokens and position embeddings that are parameters."""
_BEFORE_BLOCKS = ("stem.", "patch_embedding.", *TOKEN_PARAMETERS)
"""Starts of the names of the parameters of the embedding."""


class ViT(nn.Cell):
    """Vision Transformer for image classification (Dosovitskiy et al., 2021, "An Image is Worth 16x16 Words").

    The patches of the image, or of the feature map of a stem, become tokens. The class token, the distillation token
    and the register tokens precede them, in this order. The blocks, the norm, the pooling and the head follow.

    Parameters have the names and shapes of MindSpore's ViT tutorial, so that ``vit_b_16_224.ckpt`` loads unchanged.
    They are initialized as in the code of the paper: dense layers Xavier-uniform, position embeddings N(0, 0.02), class
    token and head 0.

    Args:
        config: configuration of the network.

    Inputs: images, (batch, in_channels, height, width), normalized; in training also rng_key, int32 (batch,), a random
    number per sample that determines all dropout masks, or None. Output: logits, float32 (batch, num_classes).
    A distilled network returns the mean of the logits of both heads; in training it returns both, the head of the class
    token first.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = ms.float32
        width = config.embed_dim
        stride, channels = 1, config.in_channels
        self.has_stem = config.stem is not None
        if self.has_stem:
            self.stem = make_stem(config.stem, config.in_channels)
            stride, channels = stem_stride(config.stem), self.stem.out_channels
        shape = tuple(side // stride for side in config.image_shape)
        self.patch_embedding = PatchEmbedding(shape, config.patch_size // stride, channels, width, config.patch_stride)
        self.has_cls, self.is_distilled = config.has_class_token, config.distilled
        self.num_registers, self.num_prefix = config.register_tokens, config.prefix_tokens
        self.pos_embed_tokens = config.pos_embed_tokens
        if self.has_cls:
            self.cls = Parameter(initializer("zeros", (1, 1, width), ms.float32), name="cls")
            self.read_cls = Weight()
        if self.is_distilled:
            self.distillation = Parameter(initializer(Normal(0.02), (1, 1, width), ms.float32), name="distillation")
            self.read_distillation = Weight()
        if self.num_registers:
            shape = (1, self.num_registers, width)
            self.registers = Parameter(initializer(Normal(0.02), shape, ms.float32), name="registers")
            self.read_registers = Weight()
        self.pos_embed_kind = config.pos_embed
        if config.pos_embed == "learned":
            self.pos_embedding = _pos_embed_parameter(
                "pos_embedding", config.pos_embed_tokens + config.num_patches, width
            )
            self.read_pos_embedding = Weight()
        elif config.pos_embed == "learned2d":
            self.pos_rows = _pos_embed_parameter("pos_rows", config.grid[0], width // 2)
            self.pos_columns = _pos_embed_parameter("pos_columns", config.grid[1], width // 2)
            self.read_pos_rows, self.read_pos_columns = Weight(), Weight()
        elif config.pos_embed == "sincos2d":
            self.pos_embedding = sincos_2d(config.grid, width)
        self.dropout = Dropout(config.dropout)
        self.patch_dropout = PatchDropout(config.patch_dropout, config.num_patches, config.prefix_tokens)
        self.transformer = TransformerEncoder(config)
        self.norm = LayerNorm(width, config.norm_eps)
        self.norm_after_pool = config.pool == "mean_norm"
        self.pool = make_pool(config)
        self.has_pre_logits = config.pre_logits_dim is not None
        if self.has_pre_logits:
            self.pre_logits = Dense(width, config.pre_logits_dim, XavierUniform())
            width = config.pre_logits_dim
        self.head_dropout = Dropout(config.dropout)
        self.dense = Dense(width, config.num_classes, "zeros")
        if config.distilled:
            self.dense_distillation = Dense(width, config.num_classes, "zeros")
        assign_rng_ids(self)
        # In a list, because a cell must not be a child of its own child.
        self._features_cell: list[nn.Cell] = []

    def construct(self, images, rng_key=None):
        return self.classify(self.encode(images, rng_key), rng_key)

    def forward_features(self, images):
        """All tokens after the last block, (batch, prefix_tokens + patches, embed_dim).

        The tokens are normalized, except with pool mean_norm, which normalizes after pooling.
        """
        # ms.jit is not used here: after it, a cell that contains this one computes this method instead of construct.
        if not self._features_cell:
            self._features_cell.append(_ForwardFeatures(self))
        return self._features_cell[0].set_train(self.training)(images)

    def set_compute_dtype(self, dtype: ms.Type) -> None:
        """Sets the dtype of the activations; the parameters stay as they are, and are cast where they are used.

        Norms and softmax compute in float32 within. Call this before the network is compiled.
        """
        self.compute_dtype = dtype
        for _, cell in self.cells_and_names():
            cell.compile_cache.clear()
        self._features_cell.clear()

    def apply_numerics(self, config: ViTConfig) -> None:
        """Applies ``norm_eps``, ``gelu`` and ``preprocessing`` of another configuration to this network."""
        for _, cell in self.cells_and_names():
            if isinstance(cell, LayerNorm):
                cell.set_epsilon(config.norm_eps)
            elif isinstance(cell, FeedForward):
                cell.set_gelu(config.gelu)
            cell.compile_cache.clear()
        changes = {"norm_eps": config.norm_eps, "gelu": config.gelu, "preprocessing": config.preprocessing}
        self.config = replace(self.config, **changes)
        self._features_cell.clear()

    def embed(self, images, rng_key=None):
        """The input of the first block, (batch, prefix_tokens + patches, embed_dim)."""
        images = images.astype(self.compute_dtype)
        x = self.patch_embedding(self.stem(images) if self.has_stem else images)
        prefix, table, embedded = self._prefix(), self.pos_embed_table(), self.pos_embed_tokens
        if prefix is not None:
            prefix = ops.tile(prefix.astype(x.dtype), (x.shape[0], 1, 1))
        if prefix is None:
            x = x if table is None else x + table.astype(x.dtype)
        elif embedded == self.num_prefix:
            x = ops.concat((prefix, x), 1) + table.astype(x.dtype)
        else:
            if table is not None:
                x = x + table[:, embedded:].astype(x.dtype)
            if embedded:
                with_table = prefix[:, :embedded] + table[:, :embedded].astype(x.dtype)
                prefix = ops.concat((with_table, prefix[:, embedded:]), 1)
            x = ops.concat((prefix, x), 1)
        return self.patch_dropout(self.dropout(x, rng_key), rng_key)

    def encode(self, images, rng_key=None):
        """The output of ``forward_features``, for use within a graph."""
        return self.last_norm(self.transformer(self.embed(images, rng_key), rng_key))

    def part_of(self, name: str) -> int:
        """Where a parameter acts: 0 is before the blocks, ``i + 1`` in block ``i``, ``depth + 1`` after the blocks."""
        if name.startswith("transformer.layers."):
            return int(name.split(".")[2]) + 1
        return 0 if name.startswith(_BEFORE_BLOCKS) else self.config.depth + 1

    def last_norm(self, tokens):
        """Applies the norm after the last block, unless the pooling precedes the norm (pool mean_norm)."""
        return tokens if self.norm_after_pool else self.norm(tokens)

    def classify(self, tokens, rng_key=None):
        """The output of the network for the output of ``encode``."""
        logits = self.dense(self.head_dropout(self.pooled(tokens), rng_key))
        logits = logits.astype(ms.float32)
        if not self.is_distilled:
            return logits
        distillation_logits = self.dense_distillation(self.head_dropout(tokens[:, 1], rng_key)).astype(ms.float32)
        return (logits, distillation_logits) if self.training else 0.5 * (logits + distillation_logits)

    def pooled(self, tokens):
        """The features of the image, which are the input of the head: (batch, embed_dim or pre_logits_dim)."""
        x = self.pool(tokens)
        if self.norm_after_pool:
            x = self.norm(x)
        if self.has_pre_logits:
            # This is tanh. On CPU, ops.tanh has an error of 1e-4 for arguments beyond 5.
            x = 2.0 * ops.sigmoid(2.0 * self.pre_logits(x)) - 1.0
        return x

    def _prefix(self):
        tokens = ()
        if self.has_cls:
            tokens = tokens + (self.read_cls(self.cls),)  # noqa: RUF005 (graph mode parses no star)
        if self.is_distilled:
            tokens = tokens + (self.read_distillation(self.distillation),)  # noqa: RUF005
        if self.num_registers:
            tokens = tokens + (self.read_registers(self.registers),)  # noqa: RUF005
        if len(tokens) == 0:
            return None
        return tokens[0] if len(tokens) == 1 else ops.concat(tokens, 1)

    def pos_embed_table(self):
        """The position embeddings, (1, pos_embed_tokens + patches, embed_dim), or None."""
        if self.pos_embed_kind == "learned2d":
            return join_rows_and_columns(self.read_pos_rows(self.pos_rows), self.read_pos_columns(self.pos_columns))
        if self.pos_embed_kind == "learned":
            return self.read_pos_embedding(self.pos_embedding)
        if self.pos_embed_kind == "sincos2d":
            return self.pos_embedding
        return None


class _ForwardFeatures(nn.Cell):
    """The computation of ``ViT.forward_features``."""

    def __init__(self, network: ViT) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, images):
        return self.network.encode(images)


def _pos_embed_parameter(name: str, rows: int, width: int) -> Parameter:
    return Parameter(initializer(Normal(sigma=0.02), (1, rows, width), ms.float32), name=name)
