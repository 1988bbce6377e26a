"""Intermediate results of a network, by name."""

from mindspore import Tensor, nn

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
        blocks = []
        for index in range(network.config.depth):
            blocks += [f"block{index}.attention", f"block{index}"] if attention else [f"block{index}"]
        self.result_names = ["embedding", *blocks, "tokens", "features", "logits"]
        self._values_cell: list[nn.Cell] = []  # In a list, because this cell is a part of that one.

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """The results by name, from a graph that returns them without names.

        A graph that returns a dictionary infers shapes when it runs, which MindSpore cannot do for native kernels.
        """
        if not self._values_cell:
            self._values_cell.append(_Values(self))
        return dict(zip(self.result_names, self._values_cell[0].set_train(self.training)(images), strict=True))

    def construct(self, images):
        values, results = self.values(images), {}
        for index in range(len(self.result_names)):
            results[self.result_names[index]] = values[index]
        return results

    def values(self, images):
        """The results in the order of ``result_names``."""
        x = self.network.embed(images)
        results = (x,)
        for index, block in enumerate(self.network.transformer.layers):
            if self.attention:
                norm, attention = block.cell_list[0].cell.cell_list
                results = results + (attention.weights(norm(x)),)  # noqa: RUF005 (graph mode parses no star)
            x = self.network.transformer.dropouts[index](block(x))
            results = results + (x,)  # noqa: RUF005
        tokens = self.network.last_norm(x)
        pooled = self.network.pooled(tokens)
        return results + (tokens, pooled, self.network.classify(tokens))  # noqa: RUF005


class _Values(nn.Cell):
    """The results of a cell ``Intermediates`` as a tuple."""

    def __init__(self, cell: Intermediates) -> None:
        super().__init__(auto_prefix=False)
        self.cell = cell

    def construct(self, images):
        return self.cell.values(images)
