"""The Vision Transformer."""

import mindspore as ms
from mindspore import Parameter, nn, ops
from mindspore.common.initializer import Normal, XavierUniform, initializer

from mindvit.models.config import ViTConfig
from mindvit.models.dropout import Dropout, place_dropouts
from mindvit.models.encoder import TransformerEncoder
from mindvit.models.patch_embedding import PatchEmbedding
from mindvit.models.positions import sincos_2d


class ViT(nn.Cell):
    """The Vision Transformer for classification (Dosovitskiy et al., 2021, "An Image is Worth 16x16 Words").

    Parameter names and shapes are those of MindSpore's ViT tutorial, so that ``vit_b_16_224.ckpt`` loads as it is.
    Fresh weights follow the paper's own code: Xavier-uniform layers, positions N(0, 0.02), class token and head 0.

    Args:
        config: the sizes and settings.

    Inputs: images, (batch, in_channels, image_size, image_size), normalised; in training optionally key, int32
    (batch,), a random number for each sample, of which all dropout is then a function. Output: logits,
    (batch, num_classes).
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.embed_dim
        self.patch_embedding = PatchEmbedding(config.image_size, config.patch_size, config.in_channels, width)
        self.has_cls = config.pool == "cls"
        if self.has_cls:
            self.cls = Parameter(initializer("zeros", (1, 1, width), ms.float32), name="cls")
        if config.positions == "learned":
            shape = (1, self.patch_embedding.num_patches + self.has_cls, width)
            self.pos_embedding = Parameter(initializer(Normal(sigma=0.02), shape, ms.float32), name="pos_embedding")
        else:
            self.pos_embedding = sincos_2d(self.patch_embedding.grid_size, width, leading=int(self.has_cls))
        self.dropout = Dropout(config.dropout)
        self.transformer = TransformerEncoder(config)
        self.norm = nn.LayerNorm((width,), epsilon=config.norm_eps)
        self.has_pre_logits = config.pre_logits_dim is not None
        if self.has_pre_logits:
            self.pre_logits = nn.Dense(width, config.pre_logits_dim, weight_init=XavierUniform(), bias_init="zeros")
            width = config.pre_logits_dim
        self.head_dropout = Dropout(config.dropout)
        self.dense = nn.Dense(width, config.num_classes, weight_init="zeros", bias_init="zeros")
        place_dropouts(self)

    def construct(self, images, key=None):
        x = self.patch_embedding(images)
        if self.has_cls:
            cls = ops.tile(self.cls, (x.shape[0], 1, 1))
            x = ops.concat((cls.astype(x.dtype), x), 1)
        x = self.transformer(self.dropout(x + self.pos_embedding, key), key)
        x = self.norm(x)
        x = x[:, 0] if self.has_cls else x.mean(1)
        if self.has_pre_logits:
            # tanh; ops.tanh is off by 1e-4 beyond 5 on CPU.
            x = 2.0 * ops.sigmoid(2.0 * self.pre_logits(x)) - 1.0
        return self.dense(self.head_dropout(x, key))
