"""The device and its precision: the one place that asks what hardware there is."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import mindspore as ms
import numpy as np
from mindspore import amp, nn, ops

from mindvit import distributed
from mindvit.config import setting
from mindvit.errors import UserError
from mindvit.models.attention import DotProductAttention

_DEVICES = ("Ascend", "GPU", "CPU")
_AMP_DTYPES = {"float16": ms.float16, "bfloat16": ms.bfloat16}


@dataclass(frozen=True)
class RuntimeSettings:
    """Where the network runs, and how precisely."""

    device: Literal["auto", "Ascend", "GPU", "CPU"] = "auto"
    """auto takes an Ascend, else a GPU, else the CPU."""
    amp_level: Literal["auto", "O0", "O2", "O3"] = "auto"
    """MindSpore's level: O0 float32, O2 16 bits with norms and softmax in float32, O3 16 bits for the norms too; auto
    is O2 on Ascend, else O0."""
    amp_dtype: Literal["float16", "bfloat16"] = "float16"
    """The 16-bit type of O2 and O3. bfloat16 has the range of float32 and needs no loss scaling, but is coarser."""
    fused_attention: bool | None = None
    """Compute attention by one operator of the device, in 16 bits; null does so where the device has it."""
    data_sink: bool | None = setting(None, changeable=True)
    """Send batches to a queue on the device while it computes; null does so on Ascend. The CPU has no such queue."""
    peak_tflops: float | None = setting(None, changeable=True, per_node=True)
    """What one device could reach, in 10^12 operations a second, for the utilisation shown; null measures it."""

    def __post_init__(self) -> None:
        if self.peak_tflops is not None and self.peak_tflops <= 0:
            raise ValueError(f"runtime.peak_tflops must be above 0, not {self.peak_tflops}")


@dataclass(frozen=True)
class Runtime:
    """What was chosen."""

    device: str
    amp_level: str
    rank: int = 0
    """This worker's number."""
    world_size: int = 1
    """How many workers share the job."""
    amp_dtype: str = "float16"
    """The 16-bit type of O2 and O3."""
    fused_attention: bool = False
    """Whether attention may be computed by the device's fused operator."""
    data_sink: bool = False
    """Whether batches go through a queue on the device."""

    @property
    def is_main(self) -> bool:
        """Whether this worker is the one that prints and writes."""
        return self.rank == 0


def init_runtime(settings: RuntimeSettings, seed: int | None = None) -> Runtime:
    """Chooses the device and precision, sets graph mode and the seeds, and joins the other workers of the job.

    Workers are those that ``msrun`` started; it tells each its place through the environment.

    Args:
        settings: what the user asked for.
        seed: seed of all random numbers; None leaves them unseeded.

    Raises:
        UserError: if the device asked for is not there, or cannot do what is asked of it.
    """
    device = choose_device(settings.device, {name: _device(name).is_available() for name in _DEVICES})
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device(device)
    rank, world_size = distributed.init_distributed()
    if seed is not None:
        ms.set_seed(seed)
        ms.dataset.config.set_seed(seed)
    amp_level = choose_amp_level(settings.amp_level, device)
    with distributed.raise_on_any_rank():
        data_sink = choose_data_sink(settings.data_sink, device)
        amp_dtype = choose_amp_dtype(settings.amp_dtype, amp_level, bfloat16_works)
        fused = choose_fused_attention(
            settings.fused_attention, device, amp_level, lambda: fused_attention_works(amp_dtype)
        )
    return Runtime(device, amp_level, rank, world_size, amp_dtype, fused, data_sink)


def current_runtime() -> Runtime:
    """The runtime of a Python session: the device that MindSpore is set to, in float32, one rank. It sets nothing."""
    return Runtime(ms.get_context("device_target"), "O0")


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


def device_counts() -> dict[str, int]:
    """How many devices of each kind this machine has that MindSpore can use."""
    present = {name: _device(name).is_available() for name in _DEVICES}
    return {name: 1 if name == "CPU" else _device(name).device_count() if present[name] else 0 for name in _DEVICES}


def choose_amp_level(asked: str, device: str) -> str:
    """The mixed-precision level asked for, or for ``auto`` O2 on Ascend and O0 elsewhere."""
    if asked != "auto":
        return asked
    return "O2" if device == "Ascend" else "O0"


def choose_data_sink(asked: bool | None, device: str) -> bool:
    """Whether to send batches through a queue on the device: as asked for, else on Ascend.

    Raises:
        UserError: if it is asked for on a CPU, which has none.
    """
    if asked and device == "CPU":
        raise UserError("runtime.data_sink is true, but a CPU has no queue of its own for batches; leave it empty")
    return device == "Ascend" if asked is None else asked


def choose_amp_dtype(asked: str, amp_level: str, bfloat16_works: Callable[[], bool]) -> str:
    """The 16-bit type asked for; bfloat16 is tried where it would be computed in.

    Raises:
        UserError: if the device does not compute in it.
    """
    if asked == "bfloat16" and amp_level != "O0" and not bfloat16_works():
        raise UserError(
            "runtime.amp_dtype bfloat16: this device multiplies no matrices of that type; "
            "choose runtime.amp_dtype float16, or runtime.amp_level O0 for float32"
        )
    return asked


def choose_fused_attention(asked: bool | None, device: str, amp_level: str, works: Callable[[], bool]) -> bool:
    """Whether attention may be fused: in 16 bits on an Ascend on which it ``works``, unless told not to.

    Raises:
        UserError: if it is asked for where it cannot be had.
    """
    if asked is False:
        return False
    obstacle = None
    if amp_level == "O0":
        obstacle = "it computes in 16 bits, and runtime.amp_level is O0"
    elif device != "Ascend":
        obstacle = f"only an Ascend has it, and this is a {device}"
    elif not works():
        obstacle = "this Ascend does not have it, or it differs from the plain arithmetic"
    if asked and obstacle:
        raise UserError(f"runtime.fused_attention true: {obstacle}; leave it out, or choose false")
    return obstacle is None


def bfloat16_works() -> bool:
    """Whether the device multiplies matrices of bfloat16, found out by trying. Untested on hardware that does."""
    ones = ms.Tensor(np.ones((16, 16)), ms.bfloat16)
    try:
        product = ops.MatMul()(ones, ones).astype(ms.float32).asnumpy()
    except Exception:  # which one, each device decides for itself
        return False
    return bool((product == 16).all())


def fused_attention_works(amp_dtype: str) -> bool:
    """Whether fused attention and its gradients are those of the plain arithmetic, found out by trying.

    Untested on hardware that has it; a CPU has not.
    """
    rng = np.random.default_rng(0)
    inputs = [ms.Tensor(rng.standard_normal((1, 2, 32, 64)) / 4, _AMP_DTYPES[amp_dtype]) for _ in range(3)]
    try:
        plain, fused = (_outputs(cell, inputs) for cell in (DotProductAttention(), DotProductAttention().fuse()))
    except Exception:  # which one, each device decides for itself
        return False
    # Of the order of the rounding of bfloat16; a wrong scale or layout is off by far more.
    return all(np.abs(one - other).max() < 0.02 * np.abs(one).max() for one, other in zip(plain, fused, strict=True))


class _AttentionAndGradients(nn.Cell):
    def __init__(self, attend: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.attend = attend
        self.gradients = ops.GradOperation(get_all=True)

    def construct(self, query, key, value):
        return (self.attend(query, key, value), *self.gradients(self.attend)(query, key, value))


def _outputs(cell: nn.Cell, inputs: list[ms.Tensor]) -> list[np.ndarray]:
    return [output.astype(ms.float32).asnumpy() for output in _AttentionAndGradients(cell)(*inputs)]


def apply_amp(network: nn.Cell, runtime: Runtime) -> nn.Cell:
    """The network at the runtime's precision; its weights stay the given network's own, in float32.

    Where the runtime allows it, its attention is fused. The 16-bit levels are untested on Ascend and GPU hardware; O2
    in float16 is tested on CPU.
    """
    if runtime.amp_level == "O0":
        return network
    for _, cell in network.cells_and_names():
        if isinstance(cell, DotProductAttention):
            cell.fuse(runtime.fused_attention)
    return amp.auto_mixed_precision(network, runtime.amp_level, _AMP_DTYPES[runtime.amp_dtype])


def make_loss_scaler(runtime: Runtime) -> amp.LossScaler | None:
    """Dynamic loss scaling where float16 gradients could underflow: it starts at 2^16 and doubles after 2,000 steps."""
    if runtime.amp_level == "O0" or runtime.amp_dtype == "bfloat16":
        return None
    return amp.DynamicLossScaler(2.0**16, 2, 2000)


def measured_flops(runtime: Runtime) -> float:
    """Floating point operations a second that one worker's device reaches in a large matrix product, the best of five.

    It is what the utilisation of a run is measured against: of shape 2048 x 2048 x 2048 on CPU, 8192 elsewhere, in
    the 16-bit type where the precision is mixed.
    """
    size = 2048 if runtime.device == "CPU" else 8192
    values = ms.Tensor(
        np.ones((size, size)), ms.float32 if runtime.amp_level == "O0" else _AMP_DTYPES[runtime.amp_dtype]
    )
    multiply = ms.ops.MatMul()
    multiply(values, values).asnumpy()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        multiply(values, values)[0, 0].asnumpy()
        seconds.append(time.perf_counter() - started)
    return 2.0 * size**3 / min(seconds)


def _device(name: str) -> Any:
    return getattr(ms.device_context, name.lower())
