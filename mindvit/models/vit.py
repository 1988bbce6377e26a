"""The Vision Transformer."""

import mindspore as ms
from mindspore import Parameter, nn, ops
from mindspore.common.initializer import Normal, initializer

from mindvit.models.config import ViTConfig
from mindvit.models.encoder import TransformerEncoder
from mindvit.models.patch_embedding import PatchEmbedding


class ViT(nn.Cell):
    """The Vision Transformer for classification (Dosovitskiy et al., 2021, "An Image is Worth 16x16 Words").

    Parameter names and shapes are those of MindSpore's ViT tutorial, so that ``vit_b_16_224.ckpt`` loads as it is.
    Fresh weights follow the paper's own code: Xavier-uniform layers, positions N(0, 0.02), class token and head 0.

    Args:
        config: the sizes and settings.

    Input: (batch, in_channels, image_size, image_size), normalised. Output: logits, (batch, num_classes).
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.embed_dim
        self.patch_embedding = PatchEmbedding(config.image_size, config.patch_size, config.in_channels, width)
        num_tokens = self.patch_embedding.num_patches + 1
        self.cls = Parameter(initializer("zeros", (1, 1, width), ms.float32), name="cls")
        self.pos_embedding = Parameter(
            initializer(Normal(sigma=0.02), (1, num_tokens, width), ms.float32), name="pos_embedding"
        )
        self.dropout = nn.Dropout(p=config.dropout)
        self.transformer = TransformerEncoder(
            embed_dim=width,
            depth=config.depth,
            num_heads=config.num_heads,
            mlp_dim=config.mlp_dim,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
            drop_path=config.drop_path,
            norm_eps=config.norm_eps,
            gelu=config.gelu,
        )
        self.norm = nn.LayerNorm((width,), epsilon=config.norm_eps)
        self.dense = nn.Dense(width, config.num_classes, weight_init="zeros", bias_init="zeros")

    def construct(self, x):
        x = self.patch_embedding(x)
        cls = ops.tile(self.cls, (x.shape[0], 1, 1))
        x = ops.concat((cls.astype(x.dtype), x), 1) + self.pos_embedding
        x = self.transformer(self.dropout(x))
        x = self.norm(x)[:, 0]
        return self.dense(self.dropout(x))
