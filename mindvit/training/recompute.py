"""Activation checkpointing on a CPU: the blocks are computed again in the backward pass."""

from collections.abc import Callable, Sequence

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindvit.models.vit import ViT
from mindvit.ops.weight import HANDLE_PREFIX


class RecomputedGradients(nn.Cell):
    """The loss and its gradients, with the input of a block as all that is stored of it (Chen et al., 2016).

    MindSpore's ``Cell.recompute`` acts neither on cells with a written gradient, such as native kernels, nor in the
    loop over micro-batches. So the chain rule is written out here: from the last block to the first, each is
    differentiated by itself, at its stored input. The last block is differentiated together with the head, because its
    activations are needed at once. Dropout masks are functions of ``rng_keys``, so they are the same both times.

    Args:
        network: the network.
        loss: from the output of the network, images and labels to a scalar.
        weights: what to differentiate by: parameters of the network, or their handles.

    Inputs: images, labels and rng_keys of ``TrainStep``. Outputs: the loss; a tuple of the gradients by ``weights``.
    """

    def __init__(self, network: ViT, loss: Callable[..., Tensor], weights: Sequence[Parameter]) -> None:
        super().__init__(auto_prefix=False)
        depth = network.config.depth
        parts = [min(network.part_of(weight.name.removeprefix(HANDLE_PREFIX)), depth) for weight in weights]
        by_part = [
            ParameterTuple(w for w, part in zip(weights, parts, strict=True) if part == i) for i in range(depth + 1)
        ]
        blocks = [_Block(network, index) for index in range(depth)]
        # What comes before the first weight needs no gradient.
        first = max(min(parts), 1)
        self.embedding = _Embedding(network, blocks[: first - 1])
        self.blocks = nn.CellList(blocks[first - 1 : -1], auto_prefix=False)
        self.value_and_grad = ms.value_and_grad(_Head(network, blocks[-1], loss), 0, by_part[-1])
        self.gradients = nn.CellList(
            [_BlockGradients(blocks[i - 1], by_part[i]) for i in range(first, depth)], auto_prefix=False
        )
        self.weights_of_embedding = by_part[0]
        self.grad = ops.GradOperation(get_by_list=True, sens_param=True)
        # The gradients come in the order of the parts.
        found = sorted(range(len(parts)), key=parts.__getitem__)
        self.places = tuple(found.index(place) for place in range(len(parts)))

    def construct(self, images, labels, rng_keys):
        x = self.embedding(images, rng_keys)
        inputs = ()
        for block in self.blocks:
            inputs = inputs + (x,)  # noqa: RUF005 (graph mode parses no star)
            x = block(x, rng_keys)
        loss, (dx, gradients) = self.value_and_grad(x, images, labels, rng_keys)
        for index in range(len(self.gradients) - 1, -1, -1):
            dx, found = self.gradients[index](inputs[index], rng_keys, dx)
            gradients = found + gradients
        if len(self.weights_of_embedding) > 0:
            gradients = self.grad(self.embedding, self.weights_of_embedding)(images, rng_keys, dx) + gradients
        ordered = ()
        for place in self.places:
            ordered = ordered + (gradients[place],)  # noqa: RUF005
        return loss, ordered


class _Block(nn.Cell):
    """A block, and the dropout after it."""

    def __init__(self, network: ViT, index: int) -> None:
        super().__init__(auto_prefix=False)
        self.block = network.transformer.layers[index]
        self.dropout = network.transformer.dropouts[index]

    def construct(self, x, rng_keys):
        return self.dropout(self.block(x, rng_keys), rng_keys)


class _BlockGradients(nn.Cell):
    """The gradients of a block by its input and its weights.

    Inputs: x, the input of the block; rng_keys; the gradient by its output. Outputs: the gradient by x; a tuple of the
    gradients by the weights.
    """

    def __init__(self, block: _Block, weights: ParameterTuple) -> None:
        super().__init__(auto_prefix=False)
        self.block = block
        self.weights = weights
        self.grad = ops.GradOperation(get_all=True, get_by_list=len(weights) > 0, sens_param=True)

    def construct(self, x, rng_keys, dout):
        # Otherwise the compiler would find that the block has been computed before, and store what it gave.
        x = ops.depend(x, dout)
        if len(self.weights) > 0:
            (dx, _), gradients = self.grad(self.block, self.weights)(x, rng_keys, dout)
        else:
            (dx, _), gradients = self.grad(self.block)(x, rng_keys, dout), ()
        return dx, gradients


class _Embedding(nn.Cell):
    """From the images to the input of the first block that is recomputed."""

    def __init__(self, network: ViT, blocks: Sequence[_Block]) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.blocks = nn.CellList(blocks, auto_prefix=False)

    def construct(self, images, rng_keys):
        x = self.network.embed(images, rng_keys)
        for block in self.blocks:
            x = block(x, rng_keys)
        return x


class _Head(nn.Cell):
    """From the input of the last block to the loss."""

    def __init__(self, network: ViT, block: _Block, loss: Callable[..., Tensor]) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.block = block
        self.loss = loss

    def construct(self, x, images, labels, rng_keys):
        tokens = self.network.last_norm(self.block(x, rng_keys))
        return self.loss(self.network.classify(tokens, rng_keys), images, labels)
