"""Compiles a cell, or loads the graph that an earlier process compiled from the same things."""

import os
import secrets
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn
from mindspore.communication import get_rank

from mindvit.distributed import is_distributed
from mindvit.files import FileError
from mindvit.graph_cache.graph_fingerprint import fingerprint
from mindvit.graph_cache.graph_store import GraphStore

_ENABLE = "MS_COMPILER_CACHE_ENABLE"
_PATH = "MS_COMPILER_CACHE_PATH"
_UNCHECKED = "MS_DEV_FORCE_USE_COMPILE_CACHE"


def cache_graphs(cell: nn.Cell) -> None:
    """Lets a cell take its graphs from the user's cache, and store those that it compiles.

    It is for the outermost cell of a graph. MindSpore's own cache does not notice that a cell has changed, numbers
    graphs by the order of their compilation, and writes to the folder that it reads from. So it only exports and loads
    graphs here: in a folder of this process, one graph at a time, by a fingerprint of everything that decides the
    graph. Without a folder that can be trusted, the cell is compiled as usual, with a note.

    Args:
        cell: a cell that is not compiled yet.
    """
    known: set[str] = set()

    def compile_cached(*inputs: Any, **others: Any) -> None:
        signature = f"{cell.phase} {[_signature(value) for value in inputs]}"
        is_new = signature not in known
        known.add(signature)
        session = _session() if is_new and not others else None
        if session is None:
            type(cell).compile(cell, *inputs, **others)
        else:
            session.compile(cell, inputs)

    # An attribute that shadows the method: MindSpore calls self.compile() before each run.
    object.__setattr__(cell, "compile", compile_cached)


def _signature(value: Any) -> str:
    return f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else repr(value)


class _Session:
    """The cache as one process uses it.

    Args:
        store: the stored graphs.
    """

    def __init__(self, store: GraphStore) -> None:
        self.store = store
        # MindSpore reads the path once in a process. The folder is there only while a graph is compiled.
        self.folder = store.folder / f"process-{os.getpid()}-{secrets.token_hex(8)}"
        self.count = 0
        """Graphs that MindSpore has compiled with its cache enabled: the number of the next one."""

    def compile(self, cell: nn.Cell, inputs: Sequence[Any]) -> None:
        try:
            key = fingerprint(cell, inputs)
        except Exception:  # Whatever the reason: a cell that cannot be identified is compiled.
            type(cell).compile(cell, *inputs)
            return
        graph = self.store.read(key)
        if graph is None:
            with self._enabled():
                type(cell).compile(cell, *inputs)
                exported = self._exported()
            if exported is not None:
                self._write(key, exported)
            return
        try:
            with self._enabled():
                self._offer(graph)
                type(cell).compile(cell, *inputs)
                is_used = self._exported() == graph
        except Exception:  # Whatever is wrong with the graph, compiling it again tells.
            self.store.delete(key)
            type(cell).compile(cell, *inputs)
            return
        if not is_used:  # MindSpore could not read it, compiled the cell, and exported the new graph.
            self.store.delete(key)

    @contextmanager
    def _enabled(self) -> Iterator[None]:
        """Enables MindSpore's cache, in the folder of this process."""
        os.environ |= {_ENABLE: "1", _PATH: str(self.folder), _UNCHECKED: "1"}
        self.folder.mkdir(mode=0o700)
        streams = sys.stdout, sys.stderr
        try:
            yield
        finally:
            sys.stdout, sys.stderr = streams  # MindSpore leaves another one, to which a notebook cannot print.
            self.count += 1
            shutil.rmtree(self.folder, ignore_errors=True)
            for name in (_ENABLE, _PATH, _UNCHECKED):
                os.environ.pop(name, None)

    def _offer(self, graph: bytes) -> None:
        """Writes a graph to where MindSpore looks for the next one."""
        rank, role = (get_rank(), os.environ["MS_ROLE"]) if is_distributed() else (0, "")
        folder = self.folder / f"rank_{rank}" / "graph_cache"
        folder.mkdir(parents=True)
        (folder / f"{role}compile_cache_{self.count}.mindir").write_bytes(graph)

    def _exported(self) -> bytes | None:
        """The graph that is in the folder; None if MindSpore has not exported it."""
        found = list(self.folder.glob(f"rank_*/graph_cache/*compile_cache_{self.count}.mindir"))
        return found[0].read_bytes() if len(found) == 1 else None

    def _write(self, key: str, graph: bytes) -> None:
        try:
            self.store.write(key, graph)
        except FileError as error:
            _note(error)


@cache
def _session() -> _Session | None:
    """The cache of this process; None if there is no folder for it, or if MindSpore's own cache is in use."""
    if _ENABLE in os.environ or _PATH in os.environ or ms.get_context("enable_compile_cache"):
        return None
    if not Path(sys.argv[0]).is_file():
        return None  # Python was started with code or at a prompt. MindSpore's cache opens the file of the program.
    try:
        return _Session(GraphStore())
    except FileError as error:
        _note(error)
        return None


def _note(error: FileError) -> None:
    warnings.warn(f"compiled graphs are not kept for the next start: {error}", stacklevel=2)
