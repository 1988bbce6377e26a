"""The Vision Transformer and its layers. They import only MindSpore, the standard library and mindvit.ops."""

from mindvit.models.attention import Attention
from mindvit.models.encoder import TransformerEncoder
from mindvit.models.feed_forward import FeedForward
from mindvit.models.patch_embedding import PatchEmbedding
from mindvit.models.residual import PreNorm, ResidualCell
from mindvit.models.vit import ViT
from mindvit.models.vit_config import Preprocessing, ViTConfig
from mindvit.ops.dropout import Dropout, DropPath

__all__ = [
    "Attention",
    "DropPath",
    "Dropout",
    "FeedForward",
    "PatchEmbedding",
    "PreNorm",
    "Preprocessing",
    "ResidualCell",
    "TransformerEncoder",
    "ViT",
    "ViTConfig",
]
