"""Which form of an operation is compiled in: the portable one, or one that a device wants."""

from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms
from mindspore import nn

_chosen: list[str] = []


class Operation(nn.Cell):
    """Base class of the operations that have a form of their own on some device.

    The form is chosen when the cell is created: that of the device that MindSpore is set to. ``on_ascend`` is a
    constant of the compiled graph, so the other form costs nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_ascend = target_device() == "Ascend"


def target_device() -> str:
    """The device whose forms new cells get: the one that MindSpore is set to, or that of ``forms_of``."""
    return _chosen[-1] if _chosen else ms.get_context("device_target")


@contextmanager
def forms_of(device: str) -> Iterator[None]:
    """Gives cells that are created within the forms of another device, to compare the forms on one device."""
    _chosen.append(device)
    try:
        yield
    finally:
        _chosen.pop()
