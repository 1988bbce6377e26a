"""The attention weights of all blocks in one pass, reduced to what maps of attention need."""

from typing import Literal

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvit.models.vit import ViT

HeadFusion = Literal["mean", "max", "min"]


class AttentionWeights(nn.Cell):
    """Computes the logits of a network together with its attention weights.

    ``Intermediates`` returns tokens^2 weights for each head of each block. This cell fuses the heads of a block, and
    keeps the single heads for one query alone, so that its outputs are smaller by the number of heads. It shares the
    weights of the network and computes the attention weights separately, so the network itself stays unchanged.

    The query is what the head reads: the class token; the mean of the class and the distillation token of a distilled
    network; the mean of the patches with pool ``mean``, ``mean_norm`` and ``map``.

    Args:
        network: the network, in evaluation mode.
        head_fusion: how the weights of the heads become one: ``"mean"``, ``"max"`` or ``"min"``.

    Input: images, (batch, in_channels, height, width), normalized. Output: a tuple, all float32:

    - the logits, (batch, num_classes);
    - the weights of the query in each head, (batch, num_heads, tokens), one tensor per block in a tuple;
    - the fused weights, (batch, tokens, tokens), one row per query, one tensor per block in a tuple;
    - with pool ``map`` the weights of its probe in each head, (batch, num_heads, tokens).
    """

    def __init__(self, network: ViT, head_fusion: HeadFusion = "mean") -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.head_fusion = head_fusion
        self.has_probe = network.config.pool == "map"
        self.query = Tensor([[[query_weights(network)]]], ms.float32)

    def construct(self, images):
        heads, fused = (), ()
        x = self.network.embed(images)
        for index, block in enumerate(self.network.transformer.layers):
            norm, attention = block.cell_list[0].cell.cell_list
            weights = attention.weights(norm(x)).astype(ms.float32)
            heads = heads + (ops.matmul(self.query, weights)[:, :, 0],)  # noqa: RUF005 (graph mode parses no star)
            fused = fused + (self._fuse(weights),)  # noqa: RUF005
            x = self.network.transformer.dropouts[index](block(x))
        tokens = self.network.last_norm(x)
        logits = self.network.classify(tokens)
        if self.has_probe:
            return logits, heads, fused, self.network.pool.weights(tokens)[:, :, 0].astype(ms.float32)
        return logits, heads, fused

    def _fuse(self, weights):
        if self.head_fusion == "mean":
            return weights.mean(1)
        return ops.amax(weights, 1) if self.head_fusion == "max" else ops.amin(weights, 1)


def query_weights(network: ViT) -> list[float]:
    """The share of each token in the query of ``AttentionWeights``; the shares have the sum 1."""
    config = network.config
    if config.pool == "cls":
        tokens = 1 + config.distilled
        return [1 / tokens] * tokens + [0.0] * (config.prefix_tokens + config.num_patches - tokens)
    return [0.0] * config.prefix_tokens + [1 / config.num_patches] * config.num_patches
