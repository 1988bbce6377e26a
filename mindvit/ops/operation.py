"""Which form of an operation is compiled in: the portable one, or one that a device wants."""

from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms
from mindspore import nn, ops
from mindspore.ops import signature as sig

PORTABLE = "portable"
"""The forms of no device: MindSpore's own operators, which run on each."""

_chosen: list[str] = []
_native_library: list[str | None] = []


class Operation(nn.Cell):
    """Base class of the operations that have a form of their own on some device.

    The form is chosen when the cell is created: that of the device that MindSpore is set to. ``on_ascend`` and
    ``is_native`` are constants of the compiled graph, so the other forms cost nothing.
    """

    def __init__(self, **options: bool) -> None:
        super().__init__(**options)
        self.on_ascend = target_device() == "Ascend"
        self.is_native = has_native_kernels()


def target_device() -> str:
    """The device whose forms new cells get: the one that MindSpore is set to, or that of ``forms_of``."""
    return _chosen[-1] if _chosen else ms.get_context("device_target")


@contextmanager
def forms_of(device: str) -> Iterator[None]:
    """Gives cells that are created within the forms of another device, or those of no device (``PORTABLE``)."""
    _chosen.append(device)
    try:
        yield
    finally:
        _chosen.pop()


def use_native_kernels(library: str | None) -> None:
    """Sets the library whose kernels new cells use on a CPU; None stands for none, as at the start of a process."""
    _native_library[:] = [library]


def kernels_are_chosen() -> bool:
    """Whether ``use_native_kernels`` was called in this process."""
    return bool(_native_library)


def has_native_kernels() -> bool:
    """Whether new cells use native kernels."""
    return any(_native_library) and target_device() == "CPU"


def native_kernel(name: str, shapes, outputs: int = 1, written: int = 0, read: int = 0) -> ops.Custom:
    """An operator that a function of the native library computes, in float32.

    Args:
        name: name of the function, without the prefix ``mindvit_``.
        shapes: from the shapes of the inputs to the shape of the output, or to a tuple of those of several.
        outputs: number of outputs.
        written: number of parameters, the first inputs, whose values it changes.
        read: number of the other inputs; needed only with parameters that it changes.
    """
    dtypes = ms.float32 if outputs == 1 else (ms.float32,) * outputs
    kernel = ops.Custom(
        f"{_native_library[-1]}:mindvit_{name}", out_shape=shapes, out_dtype=lambda *_: dtypes, func_type="aot"
    )
    if written:
        # Without these MindSpore would leave out the kernel, or move it past others that read the parameters.
        kernel.add_prim_attr("side_effect_mem", True)
        access = [sig.sig_rw.RW_WRITE] * written + [sig.sig_rw.RW_READ] * read
        kinds = [sig.make_sig(f"input{index}", kind) for index, kind in enumerate(access)]
        kernel.set_signatures(kernel._fill_signature(kinds))
    return kernel
