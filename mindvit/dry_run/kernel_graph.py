"""Reads the kernel graphs that MindSpore writes (``graph_build_*.ir``): each kernel with its inputs and outputs."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

GRAPH_PASS = "graph_build"
"""Name of the dump of the final kernel graph."""
WRITTEN = "written"
"""Name of the folder that they are written to."""

_NODE = re.compile(r"^  %\d+\(.*?\) = (?:PrimFunc_)?(\w+)\(")
_TENSOR = re.compile(r"<(\w+)x[A-Z]\w*\[const vector\]\{([\d, -]*)\}>")
_SCOPE = re.compile(r"# Fullname with scope: \((.*)\)")


@dataclass(frozen=True)
class TensorSpec:
    """Type and shape of a tensor."""

    dtype: str
    """Type as MindSpore writes it, such as ``Float16``."""
    shape: tuple[int, ...]
    """Shape; ``()`` for a scalar."""

    @property
    def size(self) -> int:
        """Number of elements."""
        count = 1
        for length in self.shape:
            count *= max(length, 0)
        return count

    @property
    def num_bytes(self) -> int:
        """Size in bytes; 0 for an input that is not given."""
        bits = re.search(r"\d+$", self.dtype)
        return self.size * (int(bits[0]) // 8 if bits else int(self.dtype == "Bool"))


@dataclass(frozen=True)
class KernelNode:
    """A kernel of a graph."""

    name: str
    """Name of the operator."""
    inputs: tuple[TensorSpec, ...]
    """Its inputs, those of tuples one after the other."""
    outputs: tuple[TensorSpec, ...]
    """Its outputs."""
    scope: str
    """Name of the node, with the cells that it belongs to."""


def read_graphs(folder: Path) -> list[KernelNode]:
    """The kernels of all graphs in a folder, in the order of execution within each graph."""
    files = sorted(folder.glob(f"{GRAPH_PASS}_*.ir"), key=lambda path: int(path.stem.rpartition("_")[2]))
    nodes: list[KernelNode] = []
    for path in files:
        with open(path, encoding="utf-8", errors="replace") as lines:
            nodes += parse_graph(lines)
    return nodes


def parse_graph(lines: Iterable[str]) -> Iterator[KernelNode]:
    """The kernels of a graph, from the lines of its dump.

    The line of a node is followed by its types for the compiler, then, if it is a kernel, by its types and shapes on
    the device, and by its name with scope. Nodes that only order others have no shapes on the device.
    """
    name, inputs, outputs = None, (), ()
    for line in lines:
        if found := _NODE.match(line):
            name, inputs, outputs = found[1], None, None
        elif name is not None and inputs is None and line.startswith("      : (") and "[const vector]{" in line:
            before, _, after = line.partition(") -> (")
            inputs, outputs = _tensors(before), _tensors(after)
        elif name is not None and (found := _SCOPE.search(line)):
            if inputs is not None:
                yield KernelNode(name, inputs, outputs, found[1])
            name = None


def _tensors(text: str) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(dtype, tuple(int(length) for length in shape.split(",") if length.strip()))
        for dtype, shape in _TENSOR.findall(text)
    )
