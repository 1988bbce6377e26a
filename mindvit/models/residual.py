"""Residual connections around the sub-layers of a block."""

import mindspore as ms
from mindspore import Parameter, nn
from mindspore.common.initializer import initializer

from mindvit.ops.dropout import DropPath
from mindvit.ops.weight import Weight


class PreNorm(nn.SequentialCell):
    """A layer norm followed by a sub-layer.

    Args:
        norm: the norm.
        layer: the sub-layer; it takes x and rng_key.

    Inputs: x, (batch, tokens, embed_dim); rng_key, int32 (batch,) or None. Output: same shape as x.
    """

    def __init__(self, norm: nn.Cell, layer: nn.Cell) -> None:
        super().__init__(norm, layer)

    def construct(self, x, rng_key=None):
        return self.cell_list[1](self.cell_list[0](x), rng_key)


class ResidualCell(nn.Cell):
    """Residual connection: ``x + drop_path(scale * cell(x))``.

    Args:
        cell: a cell whose output has the shape of its input; it takes x, and also rng_key unless that is None.
        drop_path: probability of skipping the cell for a sample, in training.
        layer_scale: initial value of LayerScale, a learned factor per channel (Touvron et al., 2021); None disables it.
        embed_dim: embedding dimension; required for ``layer_scale``.

    Inputs: x, (batch, tokens, embed_dim); rng_key, int32 (batch,) or None. Output: same shape as x.
    """

    def __init__(
        self, cell: nn.Cell, drop_path: float = 0.0, layer_scale: float | None = None, embed_dim: int | None = None
    ) -> None:
        super().__init__()
        self.cell = cell
        self.drop_path = DropPath(drop_path)
        self.has_layer_scale = layer_scale is not None
        if self.has_layer_scale:
            self.layer_scale = Parameter(
                initializer(ms.common.initializer.Constant(layer_scale), (embed_dim,), ms.float32), name="layer_scale"
            )
            self.read_layer_scale = Weight()

    def construct(self, x, rng_key=None):
        branch = self.cell(x) if rng_key is None else self.cell(x, rng_key)
        if self.has_layer_scale:
            branch = branch * self.read_layer_scale(self.layer_scale).astype(branch.dtype)
        return x + self.drop_path(branch, rng_key)
