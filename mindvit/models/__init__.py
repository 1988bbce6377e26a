"""The network and its parts. This package imports nothing but MindSpore and itself."""

from mindvit.models.attention import Attention
from mindvit.models.config import Preprocessing, ViTConfig
from mindvit.models.encoder import TransformerEncoder
from mindvit.models.feed_forward import FeedForward
from mindvit.models.patch_embedding import PatchEmbedding
from mindvit.models.residual import DropPath, ResidualCell
from mindvit.models.vit import ViT

__all__ = [
    "Attention",
    "DropPath",
    "FeedForward",
    "PatchEmbedding",
    "Preprocessing",
    "ResidualCell",
    "TransformerEncoder",
    "ViT",
    "ViTConfig",
]
