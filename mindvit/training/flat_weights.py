"""The weights of a network in a few flat buffers, so that a step on an NPU needs few launches."""

import math
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
        # The gradients of one dtype are joined, so the groups of one dtype follow each other.
        ordered = sorted(groups.items(), key=lambda group: group[0][0])
        shapes: set[tuple[int, ...]] = set()
        has_copies = dtype != ms.float32
        layouts = [_lay_out(members, has_copies and not is_norm, shapes) for (is_norm, *_), members in ordered]
        masters, copies, copied, handles, bound, slices, paddings = ([] for _ in range(7))
        self.options: list[ParamOptions] = []
        """The options of ``masters``."""
        ends = [0, 0]
        for index, (((is_norm, lr_scale, weight_decay), _), layout) in enumerate(zip(ordered, layouts, strict=True)):
            values = layout.values()
            master = _buffer(f"{index}.weight", values, ms.float32)
            masters.append(master)
            self.options.append(ParamOptions(master.name, lr_scale, weight_decay))
            for part in layout.parts:
                buffer, origin = master, 0
                if part.shape is not None:
                    buffer = _buffer(f"{index}.copy{len(copies)}", values[part.start : part.stop], dtype, part.shape)
                    origin = part.start
                    copies.append(buffer)
                    copied.append((index, part.start, part.stop, part.shape))
                start = part.start
                for parameter in part.members:
                    handles.append(readers[parameter.name].bind(buffer, start - origin, parameter))
                    bound.append(BoundWeight(parameter.name, tuple(parameter.shape), index, start))
                    start += parameter.size
                paddings += [0] * (len(part.members) - 1) + [part.stop - start]
            slices.append((int(is_norm), ends[is_norm], len(values)))
            ends[is_norm] += len(values)
        self.masters, self.copies, self.bound = ParameterTuple(masters), ParameterTuple(copies), tuple(bound)
        self.handles = ParameterTuple(handles)
        """What gradients are taken of."""
        parameters = {parameter.name: parameter for parameter in trained}
        self.published = ParameterTuple([parameters[weight.name] for weight in bound])
        """The parameters of the network that the buffers replace, in the order of ``bound``."""
        self.joined = {f"joined.{index}": (end,) for index, end in enumerate(ends) if end > 0}
        """Names for the tensors of the output, and their shapes."""
        self.num_bound = len(bound)
        self.first_norm = sum(not _is_norm(weight.name) for weight in bound)
        # As plain numbers, which a graph can read.
        self.slices = tuple(slices)
        self.copied = tuple(copied)
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
        for index in range(len(self.copied)):
            master, start, stop, shape = self.copied[index]
            copy, values = self.copies[index], self.masters[master].value()
            if stop - start < values.size:
                values = part_of(self.masters[master], start, (stop - start,))
            ops.assign(copy, values.astype(copy.dtype).reshape(shape))
        return len(self.copied)

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
        self.copy(self.masters, {parameter.name: parameter for parameter in self.published})

    def copy(self, buffers: Sequence[Parameter], parameters: Mapping[str, Parameter]) -> None:
        """Copies the values of buffers to parameters, through the host.

        So parameters that no graph reads take no memory of the device.

        Args:
            buffers: buffers like ``masters``.
            parameters: the parameters by the names of the weights.
        """
        for index, buffer in enumerate(buffers):
            for name, values in self.divide(index, buffer.asnumpy()).items():
                parameters[name].set_data(Tensor(values))

    def load(self) -> None:
        """Copies the parameters of the network to the buffers. Call it before the step is compiled."""
        arrays = self.join({parameter.name: parameter.asnumpy() for parameter in self.published})
        for master, values in zip(self.masters, arrays, strict=True):
            master.set_data(Tensor(values))
        for copy, (index, start, stop, shape) in zip(self.copies, self.copied, strict=True):
            copy.set_data(Tensor(arrays[index][start:stop].reshape(shape), copy.dtype))


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
        self.applies_factor = inner.applies_factor
        self.parameters = flat.masters
        self.step = inner.step

    def construct(self, gradients, lr, factor=None):
        step = self.inner(self.flat.split(gradients), lr, factor)
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


def _buffer(name: str, values: np.ndarray, dtype: ms.Type, shape: tuple[int, ...] = (-1,)) -> Parameter:
    return Parameter(Tensor(values.reshape(shape), dtype), name=f"{BUFFER_PREFIX}{name}", requires_grad=False)


@dataclass
class _Part:
    """A part of a master buffer, with its weights one after the other."""

    members: list[Parameter]
    start: int
    stop: int
    shape: tuple[int, ...] | None
    """Shape of its 16-bit copy; None without one."""


@dataclass
class _Layout:
    """The parts of a master buffer."""

    parts: list[_Part]

    def values(self) -> np.ndarray:
        """The values of the buffer, float32; 0 where it holds no weight."""
        flat = np.zeros(self.parts[-1].stop, np.float32)
        for part in self.parts:
            values = np.concatenate([parameter.asnumpy().reshape(-1) for parameter in part.members])
            flat[part.start : part.start + len(values)] = values
        return flat


def _lay_out(parameters: Sequence[Parameter], has_copies: bool, used: set[tuple[int, ...]]) -> _Layout:
    """Where a master buffer holds each weight.

    A copy is a matrix of all weights with rows of one length, because an NPU reads rows of a matrix without a copy,
    while a matrix made of a part of a vector is copied. All other weights share a vector.

    Args:
        parameters: the weights.
        has_copies: whether the network computes with 16-bit copies.
        used: the shapes of all buffers so far; the new ones are added.
    """
    by_width: dict[int | None, list[Parameter]] = defaultdict(list)
    for parameter in parameters:
        by_width[parameter.shape[1] if has_copies and parameter.ndim == 2 else None].append(parameter)
    parts, stop = [], 0
    for width, members in by_width.items():
        start, shape = stop, None
        stop += sum(parameter.size for parameter in members)
        if has_copies:
            shape = _unused(((stop - start) // width, width) if width else (stop - start,), used)
            stop = start + math.prod(shape)
        parts.append(_Part(members, start, stop, shape))
    if len(parts) > 1 or not has_copies:
        (parts[-1].stop,) = _unused((stop,), used)
    return _Layout(parts)


def _unused(shape: tuple[int, ...], used: set[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape, with more rows if it is among those used, to which it is added.

    MindSpore 2.10 takes parameters of one shape for one and the same if views of both are in a graph: it reads the
    first one in place of the others.
    """
    while shape in used:
        shape = (shape[0] + 1, *shape[1:])
    used.add(shape)
    return shape


def _readers(network: nn.Cell) -> dict[str, Weight]:
    """The ``Weight`` that reads each parameter, by the name of the parameter."""
    return {
        getattr(cell, attribute.removeprefix("read_")).name: child
        for _, cell in network.cells_and_names()
        for attribute, child in cell.name_cells().items()
        if isinstance(child, Weight)
    }
