"""What a network computes on its way, by name."""

from mindspore import nn

from mindvit.models.vit import ViT


class Intermediates(nn.Cell):
    """A network's intermediate results by name, without hooks: a graph that returns them beside the logits.

    It shares the network's weights. Attention weights are computed once more than the network itself does, so that it
    need not keep them.

    Args:
        network: the network; it should be in evaluation.
        attention: whether to return the attention weights, which need tokens^2 numbers a head.

    Input: images, (batch, in_channels, height, width), normalised. Output: a dictionary, in this order:

    - ``embedding``: the first block's input, (batch, tokens, embed_dim); tokens are the class token, the distillation
      token and the registers, as far as there are any, then the patches row by row;
    - ``block<i>.attention``: the weights of block i, from 0, (batch, num_heads, tokens, tokens), a row for each query;
    - ``block<i>``: the block's output, (batch, tokens, embed_dim);
    - ``tokens``: what ``forward_features`` gives;
    - ``features``: what the head classifies, (batch, embed_dim or pre_logits_dim);
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
