"""Pooling: all tokens become the features of the image."""

import math

import mindspore as ms
from mindspore import Parameter, nn, ops
from mindspore.common.initializer import TruncatedNormal, Uniform, XavierUniform, initializer

from mindvit.models.feed_forward import FeedForward
from mindvit.models.vit_config import ViTConfig
from mindvit.ops.dense import Dense
from mindvit.ops.layer_norm import LayerNorm
from mindvit.ops.softmax_attention import DotProductAttention, SplitHeads, SplitProjections
from mindvit.ops.weight import Weight


class ClassPool(nn.Cell):
    """The class token, which is the first token. Input: (batch, tokens, embed_dim). Output: (batch, embed_dim)."""

    def construct(self, x):
        return x[:, 0]


class MeanPool(nn.Cell):
    """The mean of the patch tokens.

    Args:
        prefix_tokens: number of tokens before the patches.

    Input: (batch, tokens, embed_dim). Output: (batch, embed_dim).
    """

    def __init__(self, prefix_tokens: int = 0) -> None:
        super().__init__()
        self.prefix_tokens = prefix_tokens

    def construct(self, x):
        return (x[:, self.prefix_tokens :] if self.prefix_tokens else x).mean(1)


class AttentionPool(nn.Cell):
    """Multi-head attention pooling (Zhai et al., 2022, "MAP").

    A learned query (the probe) attends to all tokens. A residual feed-forward layer follows.

    Args:
        embed_dim: embedding dimension.
        num_heads: heads of the attention.
        mlp_dim: hidden dimension of the feed-forward layer.
        norm_eps: epsilon of the layer norm.
        gelu: ``"tanh"`` or ``"exact"``.

    Input: (batch, tokens, embed_dim). Output: (batch, embed_dim).
    """

    def __init__(self, embed_dim: int, num_heads: int, mlp_dim: int, norm_eps: float, gelu: str) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.scale = self.head_dim**-0.5
        probe = initializer(TruncatedNormal(sigma=embed_dim**-0.5), (1, 1, embed_dim), ms.float32)
        self.probe = Parameter(probe, name="probe")
        self.read_probe = Weight()
        self.query = Dense(embed_dim, embed_dim, XavierUniform())
        # Each of the two projections is initialized as a separate Xavier-uniform square matrix.
        self.keys_and_values = Dense(embed_dim, 2 * embed_dim, Uniform(math.sqrt(3.0 / embed_dim)))
        self.out = Dense(embed_dim, embed_dim, XavierUniform())
        self.split_projections = SplitProjections(embed_dim, 2)
        self.split_heads = SplitHeads(num_heads)
        self.attend = DotProductAttention()
        self.norm = LayerNorm(embed_dim, norm_eps)
        self.feed_forward = FeedForward(embed_dim, mlp_dim, gelu=gelu)

    def construct(self, x):
        batch = x.shape[0]
        query, key, value = self._heads(x)
        x = self.attend(query, key, value)
        x = self.out(x.reshape(batch, 1, -1))
        x = x + self.feed_forward(self.norm(x))
        return x[:, 0]

    def weights(self, x):
        """Attention weights of the probe, (batch, num_heads, 1, tokens)."""
        query, key, _ = self._heads(x)
        return self.attend.weights(query, key)

    def _heads(self, x):
        """Scaled query of the probe, (batch, num_heads, 1, head_dim); key and value of x."""
        probe = ops.tile(self.read_probe(self.probe), (x.shape[0], 1, 1)).astype(x.dtype)
        query = self.split_heads(self.query(probe) * self.scale)
        key, value = self.split_projections(self.keys_and_values(x))
        return query, self.split_heads(key), self.split_heads(value)


def make_pool(config: ViTConfig) -> nn.Cell:
    """Creates the pooling that ``config.pool`` selects."""
    if config.pool == "cls":
        return ClassPool()
    if config.pool == "map":
        return AttentionPool(config.embed_dim, config.num_heads, config.mlp_dim, config.norm_eps, config.gelu)
    return MeanPool(config.prefix_tokens)
