"""The processor of this machine, as the system describes it."""

import platform
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_DECIDING_FIELDS = ("model name", "flags", "CPU implementer", "CPU part", "Features")


def processor_name() -> str:
    """The model of the processor, such as ``AMD EPYC 7B13``; its architecture if the system does not tell."""
    names = (value for name, value in _fields() if name == "model name")
    return next(names, "") or platform.processor() or platform.machine()


@cache
def processor_identity() -> str:
    """The processor with its instructions: what is compiled for one identity may end a process on another."""
    known = {f"{name}: {value}" for name, value in _fields() if name in _DECIDING_FIELDS}
    return "\n".join([platform.machine(), *(sorted(known) or [platform.processor()])])


def _fields() -> Iterator[tuple[str, str]]:
    """Names and values, of each core in turn."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()
