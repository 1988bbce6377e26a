"""An estimate of the time of a step from its kernels: the roofline model (Williams et al., 2009)."""

from collections.abc import Iterable
from dataclasses import dataclass

from mindvit.models.setting_checks import check_values


@dataclass(frozen=True)
class DeviceModel:
    """The device: its name, and its speed for the estimate. The defaults describe an Ascend 910B.

    The peak of 376 TFLOP/s in float16 is one of the two that the white paper of the Atlas 800T A2 states (the other
    is 313), and half of the 752 TFLOP/s of the two dies of an Ascend 910C; 1,600 GB/s is half of the 3.2 TB/s of its
    memory (Zuo et al., 2025, "Serving Large Language Models on Huawei CloudMatrix384", arXiv:2506.12708). No figure is
    published for the launch of a kernel: 5 microseconds is an assumption of this project, not a measurement.
    """

    soc: str = "Ascend910B1"
    """Name of the chip that the graph is compiled for, as CANN writes it."""
    launch_us: float = 5.0
    """Estimate: time to launch a kernel, in microseconds. The default is an assumption, not a measurement."""
    hbm_gb_per_s: float = 1600.0
    """Estimate: memory bandwidth in GB/s. Default: an Ascend 910B."""
    fp16_tflops: float = 376.0
    """Estimate: peak speed of 16-bit matrix products in TFLOP/s. Default: an Ascend 910B; others of them have 313."""

    def __post_init__(self) -> None:
        check_values(self, "device_model.")
        for name in ("launch_us", "hbm_gb_per_s", "fp16_tflops"):
            if getattr(self, name) <= 0:
                raise ValueError(f"device_model.{name} must be above 0, not {getattr(self, name)}")


@dataclass(frozen=True)
class RooflineEstimate:
    """An estimate in milliseconds, not a measurement. Kernels run one after the other."""

    step_ms: float
    """The step: launches, and for each kernel the longer of memory and compute."""
    launch_ms: float
    """Launches of all kernels."""
    memory_ms: float
    """All bytes at the memory bandwidth."""
    compute_ms: float
    """All matrix products at the 16-bit peak."""


def estimate(costs: Iterable[tuple[int, int]], model: DeviceModel) -> RooflineEstimate:
    """Estimates the time of kernels: ``sum(launch + max(bytes / bandwidth, FLOPs / peak))``.

    Args:
        costs: bytes and FLOPs of each kernel.
        model: the device.
    """
    times = [(moved / model.hbm_gb_per_s / 1e6, done / model.fp16_tflops / 1e9) for moved, done in costs]
    launch = len(times) * model.launch_us / 1e3
    return RooflineEstimate(
        step_ms=launch + sum(max(pair) for pair in times),
        launch_ms=launch,
        memory_ms=sum(memory for memory, _ in times),
        compute_ms=sum(compute for _, compute in times),
    )
