"""A copy of the network whose weights are an average of the trained weights."""

from mindspore import Parameter, ParameterTuple, Tensor, nn

from mindvit.models.vit import ViT
from mindvit.training.flat_weights import BUFFER_PREFIX, FlatWeights


class AveragedModel(nn.Cell):
    """A second network whose weights are an average of those in training. Base class of EMA and SWA.

    It is a network of its own, so it is evaluated and saved like any other, and the trained weights are never swapped.

    Args:
        network: the network in training.
        name: prefix of the names of the averaged parameters.
        flat: the buffers that hold the weights in training. The average is kept in buffers of the same layout then,
            until ``publish`` copies it to the parameters of the second network. None averages the parameters.
    """

    def __init__(self, network: ViT, name: str, flat: FlatWeights | None = None) -> None:
        super().__init__(auto_prefix=False)
        self.network = ViT(network.config)
        own, by_name = [], {}
        for average, weight in zip(self.network.get_parameters(), network.get_parameters(), strict=True):
            average.set_data(weight.clone())
            by_name[weight.name] = average
            average.name = f"{name}.{weight.name}"
            average.requires_grad = False
            own.append(average)
        self.own = ParameterTuple(own)
        self.names = list(by_name)
        self.flat = flat
        if flat is None:
            self.weights, self.averages = ParameterTuple(network.get_parameters()), self.own
            return
        bound = {weight.name for weight in flat.bound}
        others = [weight for weight in network.get_parameters() if weight.name not in bound]
        buffers = ParameterTuple(
            Parameter(master.clone(), name=f"{BUFFER_PREFIX}{name}.{index}", requires_grad=False)
            for index, master in enumerate(flat.masters)
        )
        self.weights = ParameterTuple([*flat.masters, *others])
        self.averages = ParameterTuple([*buffers, *(by_name[weight.name] for weight in others)])
        self.num_buffers = len(buffers)

    def tensors(self) -> dict[str, Parameter]:
        """The averages by the names of the weights."""
        return dict(zip(self.names, self.own, strict=True))

    def publish(self) -> None:
        """Copies the average to the parameters of the second network, if buffers hold it."""
        if self.flat is not None:
            self.flat.copy(self.averages[: self.num_buffers], self.tensors())

    def load(self) -> None:
        """Takes the average from the parameters of the second network; the reverse of ``publish``."""
        if self.flat is not None:
            values = self.flat.join({name: average.asnumpy() for name, average in self.tensors().items()})
            for average, array in zip(self.averages, values, strict=False):
                average.set_data(Tensor(array))
