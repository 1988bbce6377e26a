"""The Vision Transformer and its layers. This package imports only MindSpore, the standard library and itself."""

from mindvit.models.attention import Attention
from mindvit.models.dropout import Dropout, DropPath
from mindvit.models.encoder import TransformerEncoder
from mindvit.models.feed_forward import FeedForward
from mindvit.models.patch_embedding import PatchEmbedding
from mindvit.models.residual import PreNorm, ResidualCell
from mindvit.models.vit import ViT
from mindvit.models.vit_config import Preprocessing, ViTConfig

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
