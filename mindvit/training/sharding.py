"""The optimizer's state, divided over the workers."""

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindvit.training.optimizers import OptimizerSettings, make_optimizer
from mindvit.training.parameter_groups import ParameterSetting


class Piece:
    """One worker's part of a tensor: so many of its values, row by row, filled up with zeros at the very end.

    Args:
        shape: of the whole tensor.
        rank: this worker's number.
        world_size: workers, over whom the values are divided evenly.
        held: what holds this worker's part, if anything does.
    """

    def __init__(self, shape: tuple[int, ...], rank: int, world_size: int, held: Parameter | None = None) -> None:
        self.shape = tuple(shape)
        self.size = int(np.prod(shape))
        self.length = -(-self.size // world_size)
        self.first = rank * self.length
        self.filling = self.length * world_size - self.size
        self.held = held

    def own(self, values: np.ndarray) -> np.ndarray:
        """This worker's part of the whole tensor's values."""
        return np.pad(values.reshape(-1), (0, self.filling))[self.first : self.first + self.length]

    def together(self) -> Tensor:
        """The whole tensor, of all workers' parts; all of them call it together."""
        return Tensor(ops.AllGather()(self.held.value()).asnumpy()[: self.size].reshape(self.shape))


class ShardedOptimizer(nn.Cell):
    """An optimizer whose state is divided evenly over the workers (ZeRO, stage 1: Rajbhandari et al., 2020).

    Each worker updates its piece of every weight, by its piece of the gradient and of the optimizer's state, and then
    gets the others' pieces. It ends with the weights that the undivided optimizer makes. The pieces of the weights
    that a worker updates are kept apart from the weights, which costs one more copy, divided by the workers.

    The gradients come in whole, reduced by ``TrainStep``: there is no ReduceScatter on CPU to prove the other way by.
    A state of the run holds the whole tensors (``divided``), so that it can be gone on from on any number of workers.

    Args:
        settings: which optimizer, and how.
        parameters: the weights to train, float32.
        parameter_settings: what ``parameter_groups.settle`` gave for them.
        rank: this worker's number.
        world_size: workers.

    Inputs and output as ``Optimizer``.
    """

    def __init__(
        self,
        settings: OptimizerSettings,
        parameters: list[Parameter],
        parameter_settings: list[ParameterSetting],
        rank: int,
        world_size: int,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.parameters = ParameterTuple(parameters)
        self.places = [Piece(weight.shape, rank, world_size) for weight in parameters]
        pieces = [
            Parameter(Tensor(place.own(weight.asnumpy())), name=weight.name, requires_grad=False)
            for place, weight in zip(self.places, parameters, strict=True)
        ]
        inner = make_optimizer(settings, pieces, parameter_settings)
        inner.take_pieces()
        slots = {slot.name: slot for slot in inner.get_parameters()}
        self.divided = {
            name: Piece(place.shape, rank, world_size, slot)
            for piece, place in zip(pieces, self.places, strict=True)
            for name, slot in slots.items()
            if name.startswith("optimizer.") and name.split(".", 2)[2:] == [piece.name]
        }
        for piece in pieces:
            piece.name = f"piece.{piece.name}"
        self.pieces = ParameterTuple(pieces)
        self.inner = inner
        self.step = inner.step
        self.gather = ops.AllGather()
        # As plain numbers, which a graph can read.
        self.bounds = tuple((place.first, place.length, place.filling) for place in self.places)
        self.shapes = tuple((place.size, place.shape) for place in self.places)

    def take_weights(self) -> None:
        """Has to be called after weights were loaded: puts this worker's pieces of them in place."""
        for piece, place, weight in zip(self.pieces, self.places, self.parameters, strict=True):
            piece.set_data(Tensor(place.own(weight.asnumpy())))

    def construct(self, gradients, lr):
        pieces = ()
        for index in range(len(self.parameters)):
            first, length, filling = self.bounds[index]
            values = gradients[index].reshape(-1)
            if filling > 0:
                values = ops.concat((values, ops.zeros((filling,), ms.float32)))
            pieces = pieces + (values[first : first + length],)  # noqa: RUF005 (graph mode parses no star)
        step = self.inner(pieces, lr)
        for index in range(len(self.parameters)):
            size, shape = self.shapes[index]
            whole = self.gather(self.pieces[index].value())[:size]
            ops.assign(self.parameters[index], whole.reshape(shape))
        return step
