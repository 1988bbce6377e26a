"""Residual connections around the sub-layers of a block."""

import mindspore as ms
from mindspore import Parameter, nn
from mindspore.common.initializer import initializer

from mindvit.models.dropout import DropPath


class PreNorm(nn.SequentialCell):
    """A layer norm, then a sub-layer.

    Args:
        norm: the norm.
        layer: the sub-layer; takes tokens and keys.

    Inputs: x, (batch, tokens, embed_dim); rng_key, int32 (batch,) or None. Output: as x.
    """

    def __init__(self, norm: nn.Cell, layer: nn.Cell) -> None:
        super().__init__(norm, layer)

    def construct(self, x, rng_key=None):
        return self.cell_list[1](self.cell_list[0](x), rng_key)


class ResidualCell(nn.Cell):
    """Adds a cell's output to its input: ``x + drop_path(scale * cell(x))``.

    Args:
        cell: a cell whose output has its input's shape; it takes x and, where there are keys, those too.
        drop_path: probability of skipping the cell for one sample, in training.
        layer_scale: start of the learned factor of each channel (LayerScale, Touvron et al., 2021); None has none.
        embed_dim: width of a token; needed for ``layer_scale``.

    Inputs: x, (batch, tokens, embed_dim); rng_key, int32 (batch,) or None. Output: as x.
    """

    def __init__(
        self, cell: nn.Cell, drop_path: float = 0.0, layer_scale: float | None = None, embed_dim: int | None = None
    ) -> None:
        super().__init__()
        self.cell = cell
        self.drop_path = DropPath(drop_path)
        self.scaled = layer_scale is not None
        if self.scaled:
            self.layer_scale = Parameter(
                initializer(ms.common.initializer.Constant(layer_scale), (embed_dim,), ms.float32), name="layer_scale"
            )

    def construct(self, x, rng_key=None):
        branch = self.cell(x) if rng_key is None else self.cell(x, rng_key)
        if self.scaled:
            branch = branch * self.layer_scale
        return x + self.drop_path(branch, rng_key)
