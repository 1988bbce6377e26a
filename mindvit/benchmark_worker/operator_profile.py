"""Time by operator, from MindSpore's profiler."""

import csv
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mindspore.profiler import ProfilerActivity, profile, tensorboard_trace_handler

_TABLE = "cpu_op_detail_info_*.csv"
_CUSTOM = "Custom"
"""Type of the operators that are this project's own kernels."""
_INDEX = re.compile(r"-op\d+$|/\d+(?=-)")


def profile_operators(step: Callable[[], None], steps: int) -> dict[str, Any]:
    """Runs steps under MindSpore's profiler. They are slower than others, because operators then do not overlap.

    Args:
        step: computes once, and waits for the result.
        steps: how often.

    Returns:
        ``types``: milliseconds and launches per step by type of operator; ``places``: the same by the cell that the
        operator belongs to, blocks together; the longest first. Both are empty if the profiler wrote no times, as on
        devices other than the CPU.
    """
    with tempfile.TemporaryDirectory(prefix="mindvit-profile-") as name:
        profiler = profile(activities=[ProfilerActivity.CPU], on_trace_ready=tensorboard_trace_handler(name))
        profiler.start()
        for _ in range(steps):
            step()
        profiler.stop()
        tables = sorted(Path(name).rglob(_TABLE))
        rows = [row for path in tables for row in csv.DictReader(path.open(encoding="utf-8"))]
    return operator_times(rows, steps)


def operator_times(rows: list[dict[str, str]], steps: int) -> dict[str, dict[str, dict[str, float]]]:
    """The result of ``profile_operators`` from the rows of the profiler's table over some steps."""
    return {"types": _sums(rows, steps, _type), "places": _sums(rows, steps, _place)}


def _sums(
    rows: list[dict[str, str]], steps: int, name_of: Callable[[dict[str, str]], str]
) -> dict[str, dict[str, float]]:
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in rows:
        total = sums[name_of(row)]
        total[0] += float(row["op_total_time(ms)"]) / steps
        total[1] += float(row["op_occurrences"]) / steps
    ordered = sorted(sums.items(), key=lambda item: -item[1][0])
    return {name: {"milliseconds": round(time, 4), "launches": round(count, 2)} for name, (time, count) in ordered}


def _type(row: dict[str, str]) -> str:
    """The type of an operator. A custom kernel goes by the cell that it computes, forward and backward."""
    *_, cell, _ = row["full_op_name"].split("/")
    if row["op_type"] != _CUSTOM or "-" not in cell:
        return row["op_type"]
    return cell.rpartition("-")[2].lstrip("_")


def _place(row: dict[str, str]) -> str:
    """The name of an operator without the numbers of blocks and operators: all blocks are one place."""
    return _INDEX.sub("", row["full_op_name"])
