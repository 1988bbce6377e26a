"""The device and its precision: the one place that asks what hardware there is."""

import time
from dataclasses import dataclass
from typing import Literal

import mindspore as ms
import numpy as np
from mindspore import amp, nn

from mindvit import workers
from mindvit.errors import UserError

_DEVICES = ("Ascend", "GPU", "CPU")


@dataclass(frozen=True)
class RuntimeSettings:
    """Where the network runs, and how precisely."""

    device: Literal["auto", "Ascend", "GPU", "CPU"] = "auto"
    """auto takes an Ascend, else a GPU, else the CPU."""
    precision: Literal["auto", "O0", "O2", "O3"] = "auto"
    """MindSpore's level: O0 float32, O2 float16 with norms in float32, O3 float16; auto is O2 on Ascend, else O0."""
    peak_tflops: float | None = None
    """What one device could reach, in 10^12 operations a second, for the utilisation shown; null measures it."""

    def __post_init__(self) -> None:
        if self.peak_tflops is not None and self.peak_tflops <= 0:
            raise ValueError(f"runtime.peak_tflops must be above 0, not {self.peak_tflops}")


@dataclass(frozen=True)
class Runtime:
    """What was chosen."""

    device: str
    precision: str
    rank: int = 0
    """This worker's number."""
    world_size: int = 1
    """How many workers share the job."""

    @property
    def is_main(self) -> bool:
        """Whether this worker is the one that prints and writes."""
        return self.rank == 0


def start(settings: RuntimeSettings, seed: int | None = None) -> Runtime:
    """Chooses the device and precision, sets graph mode and the seeds, and joins the other workers of the job.

    Workers are those that ``msrun`` started; it tells each its place through the environment.

    Args:
        settings: what the user asked for.
        seed: seed of all random numbers; None leaves them unseeded.

    Raises:
        UserError: if the device asked for is not there.
    """
    device = choose_device(settings.device, {name: _is_available(name) for name in _DEVICES})
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device(device)
    rank, world_size = workers.join()
    if seed is not None:
        ms.set_seed(seed)
        ms.dataset.config.set_seed(seed)
    return Runtime(device, choose_precision(settings.precision, device), rank, world_size)


def choose_device(asked: str, available: dict[str, bool]) -> str:
    """The device asked for, or for ``auto`` the first available of Ascend, GPU and CPU.

    Raises:
        UserError: if the one asked for is not available.
    """
    present = [name for name in _DEVICES if available[name]]
    if asked == "auto":
        return present[0]
    if asked not in present:
        raise UserError(f"runtime.device {asked} is not available on this machine; it has {', '.join(present)}")
    return asked


def default_world_size() -> int:
    """How many workers a distributed job has by default on this machine: one per NPU, else two on the CPU."""
    return ms.device_context.ascend.device_count() if _is_available("Ascend") else 2


def choose_precision(asked: str, device: str) -> str:
    """The mixed-precision level asked for, or for ``auto`` O2 on Ascend and O0 elsewhere."""
    if asked != "auto":
        return asked
    return "O2" if device == "Ascend" else "O0"


def with_precision(network: nn.Cell, runtime: Runtime) -> nn.Cell:
    """The network at the runtime's precision; its weights stay the given network's own, in float32.

    The float16 levels are untested on Ascend and GPU hardware; O2 is tested on CPU.
    """
    return network if runtime.precision == "O0" else amp.auto_mixed_precision(network, runtime.precision)


def loss_scaling(runtime: Runtime) -> amp.LossScaler | None:
    """Dynamic loss scaling where float16 gradients could underflow: it starts at 2^16 and doubles after 2,000 steps."""
    return None if runtime.precision == "O0" else amp.DynamicLossScaler(2.0**16, 2, 2000)


def measured_flops(runtime: Runtime) -> float:
    """Floating point operations a second that one worker's device reaches in a large matrix product, the best of five.

    It is what the utilisation of a run is measured against: of shape 2048 x 2048 x 2048 on CPU, 8192 elsewhere, in
    float16 where the precision is mixed.
    """
    size = 2048 if runtime.device == "CPU" else 8192
    values = ms.Tensor(np.ones((size, size)), ms.float32 if runtime.precision == "O0" else ms.float16)
    multiply = ms.ops.MatMul()
    multiply(values, values).asnumpy()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        multiply(values, values)[0, 0].asnumpy()
        seconds.append(time.perf_counter() - started)
    return 2.0 * size**3 / min(seconds)


def _is_available(device: str) -> bool:
    return getattr(ms.device_context, device.lower()).is_available()
