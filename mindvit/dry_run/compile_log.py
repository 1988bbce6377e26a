"""Reads what MindSpore logs while it compiles for Ascend: the kernel chosen for each operator, and fallbacks."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

JOB_STARTS = "mindvit-dry-run: job"
"""Begins a line that the compiling process writes before each job, so that the log can be divided."""
GRAPH_STARTS = "mindvit-dry-run: graph starts"
"""Begins a line that it writes before it compiles the graph of a job; what was computed before belongs to no graph."""
GRAPH_ENDS = "mindvit-dry-run: graph ends"
"""Begins a line that it writes after that graph; what is compiled to measure its memory does not belong to it."""
NOTE = "note: "
"""Begins a line that is a note to the user."""

LOG_SETTINGS = {"GLOG_v": "2", "MS_SUBMODULE_LOG_v": "{DEVICE:1}"}
"""Environment variables: MindSpore logs the choice of kernels, at level 1 in its submodule DEVICE, and little else."""

_VIEWS = frozenset({"host_kernel", "rt_kernel"})
"""Kernel types of operators that only make another view of a tensor, or compute a shape; the device launches none."""
_KERNEL = re.compile(r"kernel opname:(\w+), kernel type:(\w+)")
_FALLBACK = re.compile(r"Try to use backoff CPU kernel, node:(\S+)")
_KEPT_LINES = 20


def is_view(kind: str) -> bool:
    """Whether a kernel type launches nothing on the device: it makes a view of a tensor or computes on the host."""
    return kind in _VIEWS


@dataclass
class CompileLog:
    """The kernels of one compilation, in the order of their execution."""

    kernels: list[tuple[str, str]] = field(default_factory=list)
    """Name and type of each. Types: ``opapi_kernel`` (aclnn), ``acl_kernel`` (aclop), ``akg_kernel`` (fused),
    ``hccl_kernel`` (communication), ``host_kernel`` and ``rt_kernel`` (views)."""
    cpu_fallbacks: list[str] = field(default_factory=list)
    """Operators without an Ascend kernel, as the names of their nodes in the graph."""
    notes: list[str] = field(default_factory=list)
    """Notes to the user."""
    last_lines: list[str] = field(default_factory=list)
    """The last lines of the log that say nothing about a kernel."""
    is_complete: bool = False
    """Whether the graph has been compiled, so that no further kernels belong to it."""

    def read(self, line: str) -> None:
        """Reads the next line of the log."""
        if line.startswith(GRAPH_ENDS):
            self.is_complete = True
        elif line.startswith(GRAPH_STARTS):
            self.kernels.clear()
            self.cpu_fallbacks.clear()
        elif found := _KERNEL.search(line):
            if not self.is_complete:
                self.kernels.append((found[1], found[2]))
        elif found := _FALLBACK.search(line):
            if not self.is_complete:
                self.cpu_fallbacks.append(found[1].rstrip(",."))
        elif line.startswith(NOTE):
            self.notes.append(line.removeprefix(NOTE).strip())
        elif line.strip() and not line.startswith("[INFO]"):
            self.last_lines = [*self.last_lines[1 - _KEPT_LINES :], line.strip()]

    def launched(self) -> list[tuple[str, str]]:
        """Name and type of the kernels that run on the device."""
        return [(name, kind) for name, kind in self.kernels if not is_view(kind)]

    def views(self) -> Counter[str]:
        """The number of views by the name of the operator."""
        return Counter(name for name, kind in self.kernels if is_view(kind))


def read_jobs(lines: Iterable[str]) -> list[CompileLog]:
    """Reads the log of a process that ran one or more jobs. What comes before the first job belongs to it.

    The log may have tens of megabytes; it is read line by line.
    """
    logs = [CompileLog()]
    started = 0
    for line in lines:
        if line.startswith(JOB_STARTS):
            started += 1
            if started > 1:
                logs.append(CompileLog())
        else:
            logs[-1].read(line)
    return logs
