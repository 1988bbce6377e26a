"""The weights of a network in a few flat buffers, so that a step on an NPU needs few launches."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindvit.ops.weight import Weight, part_of
from mindvit.training.optimizers import Optimizer
from mindvit.training.param_groups import ParamOptions
from mindvit.training.zero import ShardedOptimizer

BUFFER_PREFIX = "flat."
"""Start of the names of all buffers."""


@dataclass(frozen=True)
class BoundWeight:
    """Where a buffer holds a weight."""

    name: str
    shape: tuple[int, ...]
    buffer: int
    """Index of the buffer."""
    start: int
    """Index of the first value in the buffer."""

    @property
    def stop(self) -> int:
        """The index after the last value."""
        return self.start + int(np.prod(self.shape))


class FlatWeights(nn.Cell):
    """Float32 master weights in one buffer for each parameter group, and a 16-bit copy of them to compute with.

    The cells of the network read their weights as views of the buffers (``Weight.bind``). So a step casts a group of
    weights once after their update and not at each use, joins the gradients of one dtype with one concatenation, and
    reduces, clips and updates buffers. With one tensor at a time, the 152 weights of ViT-B/16 take an NPU 152 launches
    for each of these. The arithmetic is that of the same steps on single tensors.

    The step does not read the parameters of the network, which do not follow it until ``publish`` copies the master
    weights to them.

    Args:
        network: the network, whose cells read each trained parameter by a ``Weight`` (those of hybrids do not). It is
            bound to the buffers, and must not be compiled yet.
        options: what ``resolve_param_groups`` gave for its parameters.
        dtype: dtype to compute in. Norms compute with their float32 weights.

    Input: the gradients with respect to ``handles``. Output: the joined gradients of each dtype, 1-D float32 tensors.
    """

    def __init__(self, network: nn.Cell, options: Sequence[ParamOptions], dtype: ms.Type) -> None:
        super().__init__(auto_prefix=False)
        readers, trained = _readers(network), network.trainable_params()
        by_name = {item.name: item for item in options}
        groups: dict[tuple, list[Parameter]] = defaultdict(list)
        for parameter in trained:
            item = by_name[parameter.name]
            groups[_is_norm(parameter.name), item.lr_scale, item.weight_decay].append(parameter)
        masters, copies, handles, bound, slices, paddings = ([] for _ in range(6))
        self.options: list[ParamOptions] = []
        """The options of ``masters``."""
        ends = [0, 0]
        # The gradients of one dtype are joined, so the groups of one dtype follow each other.
        ordered = sorted(groups.items(), key=lambda group: group[0][0])
        lengths = _distinct([sum(parameter.size for parameter in group) for _, group in ordered])
        for ((is_norm, lr_scale, weight_decay), parameters), length in zip(ordered, lengths, strict=True):
            index, start = len(masters), 0
            values = np.concatenate([parameter.asnumpy().reshape(-1) for parameter in parameters])
            values = np.pad(values, (0, length - len(values)))
            buffer = _buffer(f"{index}.weight", values, ms.float32)
            masters.append(buffer)
            self.options.append(ParamOptions(buffer.name, lr_scale, weight_decay))
            if not is_norm and dtype != ms.float32:
                buffer = _buffer(f"{index}.copy", values, dtype)
                copies.append(buffer)
            for parameter in parameters:
                handles.append(readers[parameter.name].bind(buffer, start, parameter))
                bound.append(BoundWeight(parameter.name, tuple(parameter.shape), index, start))
                start += parameter.size
            slices.append((int(is_norm), ends[is_norm], length))
            paddings += [0] * (len(parameters) - 1) + [length - start]
            ends[is_norm] += length
        self.masters, self.copies, self.bound = ParameterTuple(masters), ParameterTuple(copies), tuple(bound)
        self.handles = ParameterTuple(handles)
        """What gradients are taken of."""
        parameters = {parameter.name: parameter for parameter in trained}
        self.published = ParameterTuple([parameters[weight.name] for weight in bound])
        """The parameters of the network that the buffers replace, in the order of ``bound``."""
        self.joined = {f"joined.{index}": (end,) for index, end in enumerate(ends) if end > 0}
        """Names for the tensors of the output, and their shapes."""
        self.num_bound = len(bound)
        self.num_copies = len(copies)
        self.first_norm = sum(not _is_norm(weight.name) for weight in bound)
        self.copy_to_network = Publish(self.masters, self.published, self.bound)
        # As plain numbers, which a graph can read.
        self.slices = tuple(slices)
        self.paddings = tuple(paddings)

    def construct(self, gradients):
        return self._join(gradients, 0, self.first_norm) + self._join(gradients, self.first_norm, self.num_bound)

    def _join(self, gradients, start, stop):
        flat = ()
        for index in range(start, stop):
            flat = flat + (gradients[index].reshape(-1),)  # noqa: RUF005 (graph mode parses no star)
            if self.paddings[index] > 0:
                flat = flat + (ops.zeros((self.paddings[index],), gradients[index].dtype),)  # noqa: RUF005
        return () if len(flat) == 0 else (ops.concat(flat).astype(ms.float32),)

    def split(self, joined):
        """The gradients of ``masters`` in the output of ``construct``, as views."""
        found = ()
        for index, start, size in self.slices:
            found = found + (part_of(joined[index], start, (size,)),)  # noqa: RUF005
        return found

    def refresh(self):
        """Copies the master weights to those that the network computes with."""
        # The groups that have a copy come first.
        for index in range(self.num_copies):
            copy = self.copies[index]
            ops.assign(copy, self.masters[index].value().astype(copy.dtype))
        return self.num_copies

    def join(self, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The values of the buffers, from arrays by the names of the weights."""
        flat = [np.zeros(master.size, np.float32) for master in self.masters]
        for weight in self.bound:
            flat[weight.buffer][weight.start : weight.stop] = arrays[weight.name].reshape(-1)
        return flat

    def divide(self, buffer: int, values: np.ndarray) -> dict[str, np.ndarray]:
        """The arrays of the weights in a buffer, by their names."""
        return {
            weight.name: values[weight.start : weight.stop].reshape(weight.shape)
            for weight in self.bound
            if weight.buffer == buffer
        }

    def publish(self) -> None:
        """Copies the master weights to the parameters of the network."""
        self.copy_to_network()

    def load(self) -> None:
        """Copies the parameters of the network to the buffers. Call it before the step is compiled."""
        arrays = self.join({parameter.name: parameter.asnumpy() for parameter in self.published})
        for index, (master, values) in enumerate(zip(self.masters, arrays, strict=True)):
            master.set_data(Tensor(values))
            if index < self.num_copies:
                self.copies[index].set_data(Tensor(values, self.copies[index].dtype))


class Publish(nn.Cell):
    """Copies the values of buffers to the parameters of a network.

    Args:
        buffers: the buffers.
        targets: the parameters, in the order of ``bound``.
        bound: where the buffers hold the values.
    """

    def __init__(self, buffers: ParameterTuple, targets: ParameterTuple, bound: Sequence[BoundWeight]) -> None:
        super().__init__(auto_prefix=False)
        self.buffers = buffers
        self.targets = targets
        self.places = tuple((weight.buffer, weight.start, weight.shape) for weight in bound)

    def construct(self):
        for index in range(len(self.targets)):
            buffer, start, shape = self.places[index]
            ops.assign(self.targets[index], part_of(self.buffers[buffer], start, shape))
        return len(self.targets)


class FlatOptimizer(nn.Cell):
    """An optimizer of the buffers of ``FlatWeights``, whose states are saved under the names of the weights.

    Args:
        flat: the weights.
        inner: the optimizer of ``flat.masters``.

    Inputs: the output of ``flat``, and the learning rate. Output: the number of updates so far.
    """

    def __init__(self, flat: FlatWeights, inner: Optimizer | ShardedOptimizer) -> None:
        super().__init__(auto_prefix=False)
        self.flat = flat
        self.inner = inner
        self.parameters = flat.masters
        self.step = inner.step

    def construct(self, gradients, lr):
        step = self.inner(self.flat.split(gradients), lr)
        self.flat.refresh()
        return step

    def full_state(self) -> dict[str, Parameter | Tensor]:
        """As ``Optimizer.full_state``."""
        states = {}
        for name, state in self.inner.full_state().items():
            slot, buffer = self._place(name)
            if buffer is None:
                states[name] = state
            else:
                parts = self.flat.divide(buffer, state.asnumpy())
                states |= {f"{slot}{weight}": Tensor(values) for weight, values in parts.items()}
        return states

    def full_state_shapes(self) -> dict[str, tuple[int, ...]]:
        """As ``Optimizer.full_state_shapes``."""
        shapes = {}
        for name, shape in self.inner.full_state_shapes().items():
            slot, buffer = self._place(name)
            if buffer is None:
                shapes[name] = shape
            else:
                shapes |= {
                    f"{slot}{weight.name}": weight.shape for weight in self.flat.bound if weight.buffer == buffer
                }
        return shapes

    def load_full_state(self, tensors: Mapping[str, np.ndarray]) -> None:
        """As ``Optimizer.load_full_state``: takes the weights from the parameters of the network too."""
        self.flat.load()
        arrays, joined = {}, {}
        for name in self.inner.full_state_shapes():
            slot, buffer = self._place(name)
            if buffer is None:
                arrays[name] = tensors[name]
            else:
                if slot not in joined:
                    joined[slot] = self.flat.join({item.name: tensors[slot + item.name] for item in self.flat.bound})
                arrays[name] = joined[slot][buffer]
        self.inner.load_full_state(arrays)

    def _place(self, state: str) -> tuple[str, int | None]:
        """The start of the name of an optimizer state, and the index of its buffer; None for other states."""
        slot, found, name = state.partition(f".{BUFFER_PREFIX}")
        names = [master.name for master in self.flat.masters]
        return f"{slot}.", names.index(f"{BUFFER_PREFIX}{name}") if found else None


def _is_norm(name: str) -> bool:
    """Whether a parameter belongs to a norm, which computes in float32."""
    return name.endswith((".gamma", ".beta"))


def _buffer(name: str, values: np.ndarray, dtype: ms.Type) -> Parameter:
    return Parameter(Tensor(values, dtype), name=f"{BUFFER_PREFIX}{name}", requires_grad=False)


def _distinct(sizes: Sequence[int]) -> list[int]:
    """Lengths of buffers that hold so many values, each different from all others.

    MindSpore 2.10 takes parameters of one shape for one and the same if views of both are in a graph: it reads the
    first one in place of the others.
    """
    lengths: list[int] = []
    for size in sizes:
        while size in lengths:
            size += 1
        lengths.append(size)
    return lengths


def _readers(network: nn.Cell) -> dict[str, Weight]:
    """The ``Weight`` that reads each parameter, by the name of the parameter."""
    return {
        getattr(cell, attribute.removeprefix("read_")).name: child
        for _, cell in network.cells_and_names()
        for attribute, child in cell.name_cells().items()
        if isinstance(child, Weight)
    }
