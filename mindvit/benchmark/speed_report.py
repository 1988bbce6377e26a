"""The report of a benchmark: what the command prints and writes."""

from dataclasses import dataclass, field
from typing import Any

from mindvit.benchmark.turns import Spread

_SHOWN_OPERATORS = 12


@dataclass(frozen=True)
class Speed:
    """What was measured of one contestant."""

    contestant: str
    """See ``Contestant``."""
    images_per_second: Spread
    """Over the rounds."""
    milliseconds: float
    """Median duration of a step in milliseconds."""
    mfu: float | None
    """Share of the peak of matrix products that was measured in the same round, 0 to 1; median of the rounds. None for
    an input pipeline."""
    ratio: Spread
    """Speed of the first contestant divided by the speed of this one, round by round."""
    setup_seconds: float
    """Time to build network and step, in seconds."""
    compile_seconds: float | None
    """How much longer the first step took than a later one, in seconds. None for an input pipeline."""
    peak_process_mb: float
    """Peak resident memory of its process, MB of 10^6 bytes."""
    peak_pool_mb: float | None
    """Peak of MindSpore's memory pool in MB of 10^6 bytes, None for other libraries."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Versions of its libraries, and threads that it reports."""
    seconds: list[float] = field(default_factory=list)
    """Seconds of a step in each round."""


@dataclass(frozen=True)
class Case:
    """One model at one batch size and image size."""

    model: str
    image_size: tuple[int, int]
    """Height and width in pixels."""
    batch_size: int
    """Images per step."""
    amp_level: str
    parameters: int
    gflop_per_image: float | None
    """Floating-point operations of matrix products and convolutions for one image, in 10^9. None for a pipeline."""
    peak_gflops: Spread | None
    """Speed of large matrix products in GFLOP/s, measured in the same rounds. None for a pipeline."""
    num_workers: int | None
    """Data workers; None without data."""
    speeds: list[Speed]
    """This project first."""
    operators: dict[str, Any] | None = None
    """Time by operator of this project: see ``profile_operators``."""


@dataclass(frozen=True)
class SpeedReport:
    """The report, written as JSON with the names of the fields."""

    task: str
    """See ``mindvit.benchmark.contestants.Task``."""
    environment: dict[str, Any]
    """Versions and hardware."""
    threads: int
    """Threads and cores of each contestant."""
    rounds: int
    cases: list[Case]

    def table(self) -> str:
        """The report as text."""
        environment = self.environment
        lines = [
            f"{environment['processor']}, {self.threads} of {environment['cores']} cores for each contestant; "
            f"{self.task}, medians of {self.rounds} rounds in turn",
            ", ".join(f"{name} {version}" for name, version in self._versions.items()),
        ]
        for case in self.cases:
            lines += ["", *case_lines(case)]
        return "\n".join(lines)

    @property
    def _versions(self) -> dict[str, str]:
        """Versions of the libraries of all contestants."""
        facts = [speed.facts for case in self.cases for speed in case.speeds]
        found = {"mindvit": self.environment["mindvit"], "mindspore": self.environment["mindspore"]}
        return found | {name: version for fact in facts for name, version in fact.get("versions", {}).items()}


def case_lines(case: Case) -> list[str]:
    """A case as lines of text."""
    height, width = case.image_size
    title = f"{case.model}, {height} x {width}, batch {case.batch_size}"
    if case.gflop_per_image is not None:
        title += f", {case.amp_level}: {case.gflop_per_image:.2f} GFLOP per image"
    if case.num_workers is not None:
        title += f", {case.num_workers} data workers"
    peak = case.peak_gflops
    if peak is not None:
        title += f"; matrix products {peak.median:.0f} GFLOP/s ({peak.least:.0f} to {peak.greatest:.0f})"
    lines = [
        title,
        f"{'':<18}{'images/s':>9} {'(min to max)':>17}{'ms/step':>10}{'MFU':>6}{'ratio':>7}{'process':>10}{'pool':>9}"
        f"{'compile':>9}",
    ]
    for speed in case.speeds:
        rate = speed.images_per_second
        pool = "" if speed.peak_pool_mb is None else f"{speed.peak_pool_mb:,.0f} MB"
        mfu = "" if speed.mfu is None else f"{100 * speed.mfu:.0f}%"
        spread = f"({_rate(rate.least)} to {_rate(rate.greatest)})"
        ratio = "" if speed is case.speeds[0] else f"{speed.ratio.median:.2f}"
        compiling = "" if speed.compile_seconds is None else f"{speed.compile_seconds:.1f} s"
        lines.append(
            f"{speed.contestant:<18}{_rate(rate.median):>9} {spread:>17}{speed.milliseconds:>10,.1f}{mfu:>6}{ratio:>7}"
            f"{speed.peak_process_mb:>7,.0f} MB{pool:>9}{compiling:>9}"
        )
    if len(case.speeds) > 1:
        lines.append(f"ratio: speed of {case.speeds[0].contestant} divided by that of the other, median of the rounds")
    if case.operators and case.operators["types"]:
        lines += _operator_lines(case.operators["types"])
    return lines


def _operator_lines(types: dict[str, dict[str, float]]) -> list[str]:
    total = sum(row["milliseconds"] for row in types.values())
    lines = [f"{'operator':<34}{'share':>7}{'ms/step':>10}{'launches':>10}"]
    shown = list(types.items())[:_SHOWN_OPERATORS]
    for name, row in shown:
        lines.append(
            f"{name:<34}{100 * row['milliseconds'] / total:>6.1f}%{row['milliseconds']:>10.1f}{row['launches']:>10.0f}"
        )
    others = total - sum(row["milliseconds"] for _, row in shown)
    if len(types) > len(shown):
        lines.append(f"{f'{len(types) - len(shown)} others':<34}{100 * others / total:>6.1f}%{others:>10.1f}")
    return lines


def _rate(images_per_second: float) -> str:
    return f"{images_per_second:.2f}" if images_per_second < 100 else f"{images_per_second:,.0f}"
