"""Residual connections, and the stochastic depth that skips them."""

from mindspore import nn, ops


class DropPath(nn.Cell):
    """Stochastic depth: in training, drops a residual branch for whole samples (Huang et al., 2016).

    A branch that is kept is divided by the probability of keeping it, so that its expectation is unchanged.

    Args:
        drop_prob: probability of dropping the branch of one sample, in [0, 1).

    Input and output: (batch, ...), any floating point type.
    """

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.keep = nn.Dropout(p=drop_prob)

    def construct(self, x):
        mask_shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        return x * self.keep(ops.ones(mask_shape, x.dtype))


class ResidualCell(nn.Cell):
    """Adds a cell's output to its input: ``x + drop_path(cell(x))``.

    Args:
        cell: a cell whose output has its input's shape.
        drop_path: probability of skipping the cell for one sample, in training.

    Input and output: (batch, tokens, embed_dim).
    """

    def __init__(self, cell: nn.Cell, drop_path: float = 0.0) -> None:
        super().__init__()
        self.cell = cell
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def construct(self, x):
        return x + self.drop_path(self.cell(x))
