"""Optimizer states sharded over the ranks (ZeRO stage 1)."""

from collections.abc import Mapping

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.optimizers import make_optimizer
from mindvit.training.param_groups import ParamOptions


class TensorShard:
    """One rank's shard of a tensor: an equal part of its flattened values, padded with zeros at the end.

    Args:
        shape: shape of the full tensor.
        rank: rank of this process.
        world_size: number of ranks.
        held: the parameter that holds this rank's shard, if there is one.
    """

    def __init__(self, shape: tuple[int, ...], rank: int, world_size: int, held: Parameter | None = None) -> None:
        self.shape = tuple(shape)
        self.size = int(np.prod(shape))
        self.length = -(-self.size // world_size)
        self.first = rank * self.length
        self.padding = self.length * world_size - self.size
        self.held = held

    def local(self, values: np.ndarray) -> np.ndarray:
        """This rank's shard of the full tensor's values."""
        return np.pad(values.reshape(-1), (0, self.padding))[self.first : self.first + self.length]

    def full(self) -> Tensor:
        """The full tensor, gathered from all ranks; all of them call it together."""
        return Tensor(ops.AllGather()(self.held.value()).asnumpy()[: self.size].reshape(self.shape))


class ShardedOptimizer(nn.Cell):
    """An optimizer whose states are sharded evenly over the ranks (ZeRO stage 1: Rajbhandari et al., 2020).

    Each rank updates its shard of every weight with its shard of the gradient and of the optimizer states. Then the
    ranks gather the updated weights. The result is that of the optimizer without sharding. The shards of the weights
    are separate tensors, which takes one more copy of the weights divided by the number of ranks.

    The gradients arrive whole, reduced by ``TrainStep``: the CPU has no ReduceScatter to test the other way with.
    ``full_state`` has whole tensors, so a run can resume on any number of ranks.

    Args:
        settings: settings of the optimizer.
        parameters: the weights to train, float32.
        options: what ``resolve_param_groups`` gave for them.
        rank: rank of this process.
        world_size: number of ranks.

    Inputs and output: those of ``Optimizer``.
    """

    def __init__(
        self,
        settings: OptimizerSettings,
        parameters: list[Parameter],
        options: list[ParamOptions],
        rank: int,
        world_size: int,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.parameters = ParameterTuple(parameters)
        self.layouts = [TensorShard(weight.shape, rank, world_size) for weight in parameters]
        shards = [
            Parameter(Tensor(layout.local(weight.asnumpy())), name=weight.name, requires_grad=False)
            for layout, weight in zip(self.layouts, parameters, strict=True)
        ]
        inner = make_optimizer(settings, shards, options)
        inner.use_shards()
        states = inner.full_state()
        self.sharded_states = {
            name: TensorShard(layout.shape, rank, world_size, state)
            for shard, layout in zip(shards, self.layouts, strict=True)
            for name, state in states.items()
            if name.split(".", 2)[2:] == [shard.name]
        }
        self.whole_states = {name: state for name, state in states.items() if name not in self.sharded_states}
        for shard in shards:
            shard.name = f"shard.{shard.name}"
        self.shards = ParameterTuple(shards)
        self.inner = inner
        self.applies_factor = inner.applies_factor
        self.step = inner.step
        self.all_gather = ops.AllGather()
        # As plain numbers, which a graph can read.
        self.bounds = tuple((layout.first, layout.length, layout.padding) for layout in self.layouts)
        self.shapes = tuple((layout.size, layout.shape) for layout in self.layouts)

    def full_state(self) -> dict[str, Parameter | Tensor]:
        """As ``Optimizer.full_state``: the tensors are gathered from all ranks."""
        return {**self.whole_states, **{name: shard.full() for name, shard in self.sharded_states.items()}}

    def full_state_shapes(self) -> dict[str, tuple[int, ...]]:
        """As ``Optimizer.full_state_shapes``."""
        whole = {name: tuple(state.shape) for name, state in self.whole_states.items()}
        return {**whole, **{name: shard.shape for name, shard in self.sharded_states.items()}}

    def load_full_state(self, tensors: Mapping[str, np.ndarray]) -> None:
        """As ``Optimizer.load_full_state``: takes this rank's shards, of the weights too."""
        for name, state in self.whole_states.items():
            state.set_data(Tensor(tensors[name]))
        for name, shard in self.sharded_states.items():
            shard.held.set_data(Tensor(shard.local(tensors[name])))
        for shard, layout, weight in zip(self.shards, self.layouts, self.parameters, strict=True):
            shard.set_data(Tensor(layout.local(weight.asnumpy())))

    def construct(self, gradients, lr, factor=None):
        shards = ()
        for index in range(len(self.parameters)):
            first, length, padding = self.bounds[index]
            values = gradients[index].reshape(-1)
            if padding > 0:
                values = ops.concat((values, ops.zeros((padding,), ms.float32)))
            shards = shards + (values[first : first + length],)  # noqa: RUF005 (graph mode parses no star)
        step = self.inner(shards, lr, factor)
        for index in range(len(self.parameters)):
            size, shape = self.shapes[index]
            full = self.all_gather(self.shards[index].value())[:size]
            ops.assign(self.parameters[index], full.reshape(shape))
        return step
