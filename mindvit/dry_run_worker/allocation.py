"""Parameters that occupy the device before the step is run."""

from mindspore import ParameterTuple, nn, ops


class _Touch(nn.Cell):
    """Writes each parameter to itself, by which MindSpore allocates it on the device."""

    def __init__(self, parameters: ParameterTuple) -> None:
        super().__init__(auto_prefix=False)
        self.parameters = parameters

    def construct(self):
        for index in range(len(self.parameters)):
            parameter = self.parameters[index]
            ops.assign(parameter, parameter.value())
        return len(self.parameters)


def allocate_parameters(step: nn.Cell) -> None:
    """Allocates the parameters that the update of a training step writes on the device.

    MindSpore allocates a parameter where a kernel first uses it. The kernels of the update stand behind the condition
    that the gradient is finite, which never holds in a dry run: it has no values. Without this, the master weights, the
    moments of the optimizer and the average would be missing in the peak.
    """
    flat = step.flat
    # Handles and the parameters of the network have no kernels if buffers hold the weights.
    unused = set() if flat is None else {id(parameter) for parameter in (*flat.handles, *flat.published)}
    found = {id(parameter): parameter for parameter in step.get_parameters() if id(parameter) not in unused}
    _Touch(ParameterTuple(found.values()))()
