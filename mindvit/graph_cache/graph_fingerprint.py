"""Identifies what a graph is compiled from: the cell, its inputs, the software and the settings of the process."""

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache, partial
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

import mindvit
from mindvit.processor import processor_identity

_PACKAGES = ("builtins", "mindspore", "mindvit", "numpy")
"""Packages whose source is part of the fingerprint. A graph of another package is not cached."""
_STATE_OF_CELL = {
    "__compile_cell_hook__",
    "__parse_method__",
    "_cell_init_args",
    "_compile_cache",
    "_compile_phase",
    "_compiled",
    "_create_time",
    "_exist_names",
    "_exist_objs",
    "_has_mutable_args_list",
    "_init_flag",
    "_is_check_and_refresh",
    "_params_list",
    "_phase_cache",
    "_scope",
    "arguments_key",
    "compile",
    "compile_phase",
    "current_phase",
    "sequence_modified",
}
"""Attributes in which MindSpore keeps what it has compiled, with addresses and times, and the hook of the cache."""
_STATE_OF_GRADIENT = {"fn", "grad_fn", "weights_id"}
_CONTEXT = ("mode", "device_target", "deterministic", "jit_config", "max_call_depth", "enable_graph_kernel")
_PARALLEL_CONTEXT = ("parallel_mode", "device_num", "gradients_mean", "enable_parallel_optimizer")
_JOB_VARIABLES = ("MS_SCHED_", "MS_NODE_", "MS_COMPILER_CACHE_", "MINDVIT_LAUNCHER", "MINDVIT_ON_SCREEN")
"""Environment variables that differ between two starts of the same job, and do not act on graphs."""


class NotIdentifiableError(Exception):
    """A cell holds something of which it is not known how to tell whether it is the same as before."""


def fingerprint(cell: nn.Cell, inputs: Sequence[Any]) -> str:
    """A hash of everything that decides the graph of a cell.

    Of tensors it holds the values, because they are constants of the graph. Of parameters it holds name, shape and
    dtype, because the graph takes their values when it runs.

    Args:
        cell: the cell. It has not been compiled yet.
        inputs: what it is called with; of a tensor, only shape and dtype count.

    Returns:
        A SHA-256 hash, 64 hexadecimal digits.

    Raises:
        NotIdentifiableError: if it cannot be computed with certainty.
    """
    walk = _Walk({id(parameter) for parameter in cell.get_parameters()})
    walk.add("process", process_fingerprint())
    for value in inputs:
        walk.add("input", (tuple(value.shape), str(value.dtype)) if isinstance(value, Tensor) else value)
    walk.add("phase", cell.phase)
    walk.add("cell", cell)
    return walk.hash.hexdigest()


def process_fingerprint(environment: Mapping[str, str] = os.environ) -> str:
    """A hash of the software, the processor, and the settings of MindSpore, its environment variables included."""
    parts = [_software(), *(f"{name}={ms.get_context(name)}" for name in _CONTEXT)]
    parts += [f"{name}={ms.get_auto_parallel_context(name)}" for name in _PARALLEL_CONTEXT]
    parts += sorted(
        f"{name}={value}"
        for name, value in environment.items()
        if name.startswith(("MS_", "MINDSPORE_", "MINDVIT_", "RANK_", "DEVICE_"))
        and not name.startswith(_JOB_VARIABLES)
    )
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


@cache
def _software() -> str:
    """A hash of the source of this package, of the versions of what compiles it, and of the processor."""
    root = Path(mindvit.__file__).parent
    library = Path(ms.__file__).parent / "version.py"
    stamp = library.stat() if library.exists() else None
    installed = (str(library), stamp and (stamp.st_size, stamp.st_mtime_ns))
    versions = (sys.version, ms.__version__, installed, np.__version__)
    found = hashlib.sha256(repr((*versions, processor_identity())).encode())
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            found.update(repr((path.relative_to(root).as_posix(), path.stat().st_size)).encode())
            found.update(path.read_bytes())
    return found.hexdigest()


class _Walk:
    """Hashes values and what they hold. A value that was hashed before counts by its place in the order.

    Args:
        parameters: ids of the parameters that MindSpore gives to the graph when it runs.
    """

    def __init__(self, parameters: set[int]) -> None:
        self.hash = hashlib.sha256()
        self.parameters = parameters
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []

    def add(self, name: str, value: Any) -> None:
        self._write(name)
        self._add(value)

    def _write(self, *parts: Any) -> None:
        self.hash.update(repr(parts).encode() + b"\0")

    def _add(self, value: Any) -> None:
        if value is None or type(value) in (bool, int, float, complex, str, bytes):
            self._write(type(value).__name__, value)
            return
        if id(value) in self._seen:
            self._write("seen", self._seen[id(value)])
            return
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)  # So that no later object gets its id.
        self._add_object(value)

    def _add_object(self, value: Any) -> None:
        if isinstance(value, Parameter):
            if id(value) not in self.parameters:
                raise NotIdentifiableError(f"the parameter {value.name} does not belong to the cell")
            self._write("parameter", value.name, tuple(value.shape), str(value.dtype), value.requires_grad)
        elif isinstance(value, Tensor):
            exact = value.astype(ms.float32) if value.dtype == ms.bfloat16 else value
            self._write("tensor", tuple(value.shape), str(value.dtype))
            self.hash.update(exact.asnumpy().tobytes())
        elif isinstance(value, np.ndarray | np.generic):
            if value.dtype.hasobject:
                raise NotIdentifiableError("an array holds objects")
            self._write("array", value.shape, value.dtype.str)
            self.hash.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, Mapping):
            self._write("mapping", type(value).__name__, len(value))
            for key, item in value.items():
                self._add(key)
                self._add(item)
        elif isinstance(value, set | frozenset):
            if not all(isinstance(item, str | int) for item in value):
                raise NotIdentifiableError("a set holds objects")
            self._write("set", sorted(map(repr, value)))
        elif isinstance(value, list | tuple):
            self._write("sequence", type(value).__name__, len(value))
            for item in value:
                self._add(item)
        elif isinstance(value, type):
            self._write("class", self._name(value))
        elif isinstance(value, FunctionType | BuiltinFunctionType | MethodType | partial):
            self._add_function(value)
        else:
            self._add_instance(value)

    def _add_function(self, value: Any) -> None:
        if isinstance(value, partial):
            self._write("partial")
            self._add([value.func, value.args, value.keywords])
            return
        if isinstance(value, MethodType):
            self._write("method", value.__name__)
            self._add(value.__self__)
            return
        self._write("function", self._name(value))
        for variable in getattr(value, "__closure__", None) or ():
            held = variable.cell_contents
            # MindSpore numbers its functions of gradients by time and address.
            if not (value.__module__.startswith("mindspore.") and type(held) is int):
                self._add(held)
        self._add(getattr(value, "__defaults__", None))
        self._add(getattr(value, "__kwdefaults__", None))

    def _add_instance(self, value: Any) -> None:
        kind = type(value)
        self._write("object", self._name(kind))
        if kind.__module__.startswith("mindspore._c_expression") and " at 0x" not in str(value):
            self._write(str(value))  # A dtype, or a choice.
        elif isinstance(value, Enum):
            self._write(value.name)
        elif isinstance(value, nn.Cell):
            # Compiling sets the scope to the place of the cell. Before that it only marks cells to recompute.
            self._write("recompute", str(vars(value).get("_scope")).startswith("recompute"))
            self._add_attributes(vars(value), _STATE_OF_CELL)
        elif isinstance(value, ops.Primitive):
            self._add_attributes({**vars(value), "attrs": dict(value.attrs)}, set())
        elif is_dataclass(value):
            self._add_attributes({item.name: getattr(value, item.name) for item in fields(value)}, set())
        elif hasattr(value, "__dict__"):
            self._add_attributes(vars(value), _STATE_OF_GRADIENT)
        else:
            raise NotIdentifiableError(f"it is not known how to identify a {self._name(kind)}")

    def _add_attributes(self, attributes: Mapping[str, Any], omitted: set[str]) -> None:
        for name in sorted(attributes.keys() - omitted):
            # MindSpore replaces None by an empty dictionary of hooks when it compiles.
            if attributes[name] is not None and (not name.startswith("_lazy_") or attributes[name]):
                self._write("attribute", name)
                self._add(attributes[name])

    def _name(self, value: Any) -> str:
        module = value.__module__ or "builtins"
        if module.split(".")[0] not in _PACKAGES:
            raise NotIdentifiableError(f"{module}.{value.__qualname__} is not part of this project")
        return f"{module}.{value.__qualname__}"
