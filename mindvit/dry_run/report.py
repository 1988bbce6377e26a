"""The report of a dry run: what the command prints and writes."""

import warnings
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import mindspore

import mindvit
from mindvit.dry_run.compile_jobs import Compilation, CompileJob
from mindvit.dry_run.compile_log import is_view
from mindvit.dry_run.kernel_costs import flops, num_bytes
from mindvit.dry_run.roofline import DeviceModel, RooflineEstimate, estimate
from mindvit.printable import printable

_MIB = 2**20
_SHOWN_NAMES = 16
_COLLECTIVE = "HCCL"
_TYPES = {"opapi_kernel": "aclnn", "acl_kernel": "aclop", "akg_kernel": "fused", "hccl_kernel": _COLLECTIVE}
"""What the kernel types of MindSpore are called outside of it."""
LIMITS = (
    "A dry run proves that the graph compiles and shows its kernels and MindSpore's plan of memory. It computes no "
    "value, measures no time, and does not ask CANN whether it accepts types and shapes."
)


@dataclass(frozen=True)
class KernelRow:
    """A kernel that runs on the device."""

    name: str
    """Name of the operator."""
    type: str
    """aclnn, aclop, fused or HCCL."""
    bytes: int | None
    """Bytes that it reads and writes; None if the shapes of its tensors are not known."""
    flops: int | None
    """Floating-point operations, of matrix products and attention only; None likewise."""
    node: str | None
    """Name of its node in the graph, with the cells that it belongs to."""


@dataclass(frozen=True)
class DryRunReport:
    """What a dry run found. Written as JSON with the names of the fields."""

    mindvit: str
    """Version of this project."""
    mindspore: str
    """Version of MindSpore."""
    cann: str
    """``installed``, or ``stand-ins``."""
    device_model: dict[str, Any]
    """The device: see ``DeviceModel``."""
    device_memory_gb: float
    """Memory of the device in GB of 2^30 bytes."""
    network: str
    """own or stock."""
    step: str
    """train or eval."""
    ranks: int
    """Number of ranks; this is rank 0."""
    graph: dict[str, Any]
    """Model, parameters, image size, images of a step on this rank, precision and compiler level."""
    compile_seconds: float
    """Time to compile, in seconds."""
    kernels: int
    """Kernels that run on the device. What a loop over micro-batches repeats is counted once."""
    kernels_by_type: dict[str, int]
    """The same by type."""
    kernels_by_name: dict[str, int]
    """The same by operator."""
    views: int
    """Operators that only make a view of a tensor, and are not counted as kernels."""
    views_by_name: dict[str, int]
    """The same by operator."""
    cpu_fallbacks: list[str]
    """Operators without an Ascend kernel, which run on the CPU."""
    collectives: dict[str, int]
    """Kernels that communicate between ranks, by operator."""
    collective_mb: float
    """Half of what they read and write, in MB of 10^6 bytes: for AllReduce the size of the buffers."""
    peak_memory_mb: int
    """Greatest memory in use at one time, in MB of 2^20 bytes, by MindSpore's plan; no workspaces of operators."""
    bytes: int
    """Bytes that all kernels read and write."""
    bytes_by_name: dict[str, int]
    """The same by operator."""
    flops: int
    """Floating-point operations of matrix products, convolutions and fused attention."""
    flops_by_name: dict[str, int]
    """The same by operator."""
    kernels_without_shapes: int
    """Kernels that count no bytes and no FLOPs because MindSpore shows no shapes of them."""
    estimate: RooflineEstimate
    """An estimate of the time of the step, not a measurement."""
    notes: list[str]
    """Notes."""
    kernel_list: list[KernelRow]
    """All kernels in the order of execution."""

    @property
    def fits(self) -> bool:
        """Whether the peak fits into the memory of the device."""
        return self.peak_memory_mb <= self.device_memory_gb * 1024


def make_report(
    job: CompileJob, ranks: int, device: DeviceModel, memory_gb: float, compilation: Compilation
) -> DryRunReport:
    """Makes the report of a compilation that succeeded."""
    rows = list(_rows(compilation))
    known = [row for row in rows if row.bytes is not None]
    facts = dict(compilation.facts)
    views = compilation.log.views()
    collectives = [row for row in rows if row.type == _COLLECTIVE]
    notes = list(compilation.log.notes)
    if len(known) < len(rows):
        notes.append(f"the shapes of {len(rows) - len(known)} of {len(rows)} kernels are not known")
    return DryRunReport(
        mindvit=mindvit.__version__,
        mindspore=mindspore.__version__,
        cann="installed" if compilation.cann_is_installed else "stand-ins",
        device_model=asdict(device),
        device_memory_gb=memory_gb,
        network=job.network,
        step=job.step,
        ranks=ranks,
        compile_seconds=facts.pop("seconds"),
        peak_memory_mb=-(-facts.pop("peak_memory_bytes") // _MIB),
        graph=facts,
        kernels=len(rows),
        kernels_by_type=_sorted(Counter(row.type for row in rows)),
        kernels_by_name=_sorted(Counter(row.name for row in rows)),
        views=views.total(),
        views_by_name=_sorted(views),
        cpu_fallbacks=compilation.log.cpu_fallbacks,
        collectives=_sorted(Counter(row.name for row in collectives)),
        collective_mb=round(sum(row.bytes or 0 for row in collectives) / 2e6, 3),
        bytes=sum(row.bytes for row in known),
        bytes_by_name=_sorted(_sums((row.name, row.bytes) for row in known)),
        flops=sum(row.flops for row in known),
        flops_by_name=_sorted(_sums((row.name, row.flops) for row in known if row.flops)),
        kernels_without_shapes=len(rows) - len(known),
        estimate=estimate([(row.bytes or 0, row.flops or 0) for row in rows], device),
        notes=notes,
        kernel_list=rows,
    )


def _rows(compilation: Compilation) -> Iterable[KernelRow]:
    """The kernels of the log, each with the node of the graph that has its name: the log and the graph have one order.

    A name that the two have in different numbers is not matched.
    """
    logged = Counter(name for name, _ in compilation.log.kernels)
    nodes: dict[str, deque] = defaultdict(deque)
    for node in compilation.nodes:
        nodes[node.name].append(node)
    for name, kind in compilation.log.kernels:
        node = nodes[name].popleft() if len(nodes[name]) == logged[name] else None
        logged[name] -= 1
        if not is_view(kind):
            cost = (None, None, None) if node is None else (num_bytes(node), flops(node), node.scope)
            yield KernelRow(name, _TYPES.get(kind, kind), *cost)


def _sums(pairs: Iterable[tuple[str, int]]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for name, value in pairs:
        sums[name] += value
    return sums


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def show(report: DryRunReport) -> None:
    """Prints the report as a table, and its notes."""
    print(table(report), flush=True)
    for note in report.notes:
        warnings.warn(note, stacklevel=2)


def table(report: DryRunReport) -> str:
    """The report as a table."""
    graph, device = report.graph, report.device_model
    pixels = "x".join(map(str, graph["image_size"]))
    ranks = f"{report.ranks} rank{'' if report.ranks == 1 else 's'}"
    fused = ", fused attention" if graph["fused_attention"] else ""
    step = {"train": "training step", "eval": "forward pass of evaluation"}[report.step]
    names = {"own": "", "stock": " in the tutorial's plain cells"}[report.network]
    estimated = report.estimate
    fits = "fits into" if report.fits else "does not fit into"
    rows = {
        "graph": f"{step} of {graph['model']}{names}, {pixels} px, {graph['batch_size']} images, {ranks}",
        "compiler": f"jit_level {graph['jit_level']}, amp_level {graph['amp_level']} {graph['amp_dtype']}{fused}; "
        f"MindSpore {report.mindspore}, {device['soc']}, CANN: {report.cann}; {report.compile_seconds:.0f} s",
        "kernels": f"{report.kernels:,} ({_listed(report.kernels_by_type)})",
        "by name": _listed(report.kernels_by_name, _SHOWN_NAMES),
        "views": f"{report.views:,} ({_listed(report.views_by_name, 6)})" if report.views else "0",
        "fallbacks": f"{len(report.cpu_fallbacks)}"
        + (f" on the CPU: {', '.join(report.cpu_fallbacks[:5])}" if report.cpu_fallbacks else ""),
        "collectives": f"{_listed(report.collectives)}, {report.collective_mb:,.1f} MB"
        if report.collectives
        else "none",
        "memory": f"{report.peak_memory_mb:,} MB at the peak; {fits} {report.device_memory_gb:g} GB",
        "moved": f"{_quantity(report.bytes, 'B')} ({_largest(report.bytes_by_name)})",
        "FLOPs": _quantity(report.flops, "FLOP"),
        "estimate": f"{estimated.step_ms:,.1f} ms (not measured): launches {estimated.launch_ms:,.1f} ms, memory "
        f"{estimated.memory_ms:,.1f} ms, products {estimated.compute_ms:,.1f} ms",
    }
    return "\n".join(f"{key:<12} {printable(value)}" for key, value in rows.items())


def _listed(counts: dict[str, int], most: int | None = None) -> str:
    shown = [f"{count:,} {name}" for name, count in list(counts.items())[:most]]
    return ", ".join([*shown, *(["…"] if most is not None and len(counts) > most else [])])


def _largest(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {_quantity(count, 'B')}" for name, count in list(counts.items())[:6])


def _quantity(count: int, unit: str) -> str:
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {prefix}{unit}"
    return f"{count:,} {unit}"
