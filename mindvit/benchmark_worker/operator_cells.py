"""Forms of operators at the sizes that they have in a network, as cells with their inputs."""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindvit.factory import create_model, resolve_config
from mindvit.models.local_attention import LocalAttention
from mindvit.models.vit import ViT
from mindvit.models.vit_config import ViTConfig
from mindvit.ops.gelu import ExactGELU, TanhGELU
from mindvit.ops.softmax_attention import DotProductAttention
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.optimizers import make_optimizer
from mindvit.training.param_groups import make_rules, resolve_param_groups
from mindvit.training.recipe import Recipe

_STOCK_OPTIMIZERS = {"nn.Adam": nn.Adam, "nn.AdamWeightDecay": nn.AdamWeightDecay}
_LR = 1e-3


class _Gradients(nn.Cell):
    """The gradients of the sum of the outputs of a cell, with respect to all inputs."""

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__()
        self.cell = cell
        self.gradients = ops.GradOperation(get_all=True)

    def construct(self, *inputs):
        return self.gradients(self.cell)(*inputs)


class _Update(nn.Cell):
    """The update of an optimizer, and a weight that it has changed."""

    def __init__(self, optimizer: nn.Cell, weight: Parameter, takes_lr: bool) -> None:
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer
        self.weight = weight
        self.takes_lr = takes_lr

    def construct(self, *gradients):
        done = self.optimizer(gradients, Tensor(_LR, ms.float32)) if self.takes_lr else self.optimizer(gradients)
        return ops.depend(self.weight.value(), done)


def make_operator(operator: str, form: str, recipe: Recipe, backward: bool) -> tuple[nn.Cell, tuple[Tensor, ...], int]:
    """A form of an operator.

    Args:
        operator: gelu, local_attention or optimizer.
        form: a contestant of this task.
        recipe: model and batch size.
        backward: compute the gradients too.

    Returns:
        The cell, its inputs, and the images of a step.
    """
    model, batch = recipe.model, recipe.data.batch_size
    if operator == "optimizer":
        network = create_model(model.name, **model.overrides())
        return _update(form, network), _random([one.shape for one in network.trainable_params()]), batch
    config = resolve_config(model.name, **model.overrides())
    cell, shapes = _gelu(form, config, batch) if operator == "gelu" else _attention(form, config, batch)
    return (_Gradients(cell) if backward else cell), _random(shapes), batch


def _gelu(form: str, config: ViTConfig, batch: int) -> tuple[nn.Cell, list[tuple[int, ...]]]:
    forms = {"tanh": TanhGELU, "exact": ExactGELU}
    cell = forms[form]() if form in forms else nn.GELU(approximate=form == "nn.GELU tanh")
    return cell, [(batch, config.prefix_tokens + config.num_patches, config.mlp_dim)]


def _attention(form: str, config: ViTConfig, batch: int) -> tuple[nn.Cell, list[tuple[int, ...]]]:
    local = LocalAttention(config.grid, config.window_size, config.prefix_tokens, config.num_heads)
    tokens = config.prefix_tokens + config.num_patches
    shape = (batch, config.num_heads, tokens, config.head_dim)
    return (local if form == "local" else DotProductAttention()), [shape] * 3


def _update(form: str, network: ViT) -> nn.Cell:
    weights = network.trainable_params()
    if form in _STOCK_OPTIMIZERS:
        return _Update(_STOCK_OPTIMIZERS[form](weights, _LR), weights[-1], takes_lr=False)
    settings = OptimizerSettings(form)
    options = resolve_param_groups(weights, make_rules(settings, network.config.depth))
    return _Update(make_optimizer(settings, weights, options), weights[-1], takes_lr=True)


def _random(shapes: list[tuple[int, ...]]) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    return tuple(Tensor(rng.standard_normal(shape).astype(np.float32)) for shape in shapes)
