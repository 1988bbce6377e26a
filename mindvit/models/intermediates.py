"""Intermediate results of a network, by name."""

from mindspore import nn

from mindvit.models.vit import ViT


class Intermediates(nn.Cell):
    """Computes the logits of a network together with its intermediate results, without hooks.

    The cell shares the weights of the network. It computes the attention weights separately, so that the network does
    not have to store them.

    Args:
        network: the network, in evaluation mode.
        attention: whether to return the attention weights, tokens^2 numbers per head.

    Input: images, (batch, in_channels, height, width), normalized. Output: a dictionary, in this order:

    - ``embedding``: input of the first block, (batch, tokens, embed_dim). The tokens are the class token, the
      distillation token and the register tokens, if present, then the patches row by row;
    - ``block<i>.attention``: attention weights of block i, from 0, (batch, num_heads, tokens, tokens), one row per
      query;
    - ``block<i>``: output of block i, (batch, tokens, embed_dim);
    - ``tokens``: output of ``forward_features``;
    - ``features``: input of the head, (batch, embed_dim or pre_logits_dim);
    - ``logits``: (batch, num_classes).
    """

    def __init__(self, network: ViT, attention: bool = True) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.attention = attention
        self.block_names = [f"block{index}" for index in range(network.config.depth)]

    def construct(self, images):
        results = {}
        x = self.network.embed(images)
        results["embedding"] = x
        for index, block in enumerate(self.network.transformer.layers):
            name = self.block_names[index]
            if self.attention:
                norm, attention = block.cell_list[0].cell.cell_list
                results[name + ".attention"] = attention.weights(norm(x))
            x = self.network.transformer.dropouts[index](block(x))
            results[name] = x
        tokens = self.network.last_norm(x)
        results["tokens"] = tokens
        results["features"] = self.network.pooled(tokens)
        results["logits"] = self.network.classify(tokens)
        return results
