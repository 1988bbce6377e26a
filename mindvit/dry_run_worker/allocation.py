"""Parameters that occupy the device before a step is run."""

from collections.abc import Sequence

import mindspore as ms
from mindspore import Parameter, ParameterTuple, nn, ops

_write = ops.MultitypeFuncGraph("write")


@_write.register("Tensor")
def _write_to_itself(parameter):
    return ops.assign(parameter, parameter)


class _Write(nn.Cell):
    """Writes each parameter to itself, for which MindSpore allocates it on the device."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        super().__init__(auto_prefix=False)
        self.parameters = ParameterTuple(parameters)
        self.map = ops.HyperMap()

    def construct(self):
        return self.map(_write, self.parameters)


def allocate(parameters: Sequence[Parameter]) -> None:
    """Allocates parameters on the device, and begins a new measurement of the peak.

    MindSpore allocates a parameter where a kernel first uses it. The kernels of the update stand behind the condition
    that the gradient is finite, of which a dry run has no value: it may or may not hold. So the master weights, the
    moments and the average might be missing in the peak.
    """
    if parameters:
        _Write(parameters)()
        # The graph above has copies of the parameters as its outputs.
        ms.runtime.synchronize()
        ms.runtime.reset_max_memory_allocated()
