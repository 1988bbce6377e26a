"""A copy of the network whose weights are an average of the trained weights."""

from mindspore import Parameter, ParameterTuple, nn

from mindvit.models.vit import ViT


class AveragedModel(nn.Cell):
    """A second network whose weights are an average of those in training. Base class of EMA and SWA.

    It is a network of its own, so it is evaluated and saved like any other, and the trained weights are never swapped.

    Args:
        network: the network in training.
        name: prefix of the names of the averaged parameters.
    """

    def __init__(self, network: ViT, name: str) -> None:
        super().__init__(auto_prefix=False)
        self.network = ViT(network.config)
        self.weights = ParameterTuple(network.get_parameters())
        own = []
        for average, weight in zip(self.network.get_parameters(), self.weights, strict=True):
            average.set_data(weight.clone())
            average.name = f"{name}.{weight.name}"
            average.requires_grad = False
            own.append(average)
        self.averages = ParameterTuple(own)

    def tensors(self) -> dict[str, Parameter]:
        """The averages by the names of the weights."""
        return {weight.name: average for weight, average in zip(self.weights, self.averages, strict=True)}
