import pytest

from mindvit.training.ema import ExponentialMovingAverage
from mindvit.training.swa import StochasticWeightAverage
from tests.training.builders import keep_alive, random_vit, values_of


@pytest.mark.parametrize(
    ("kind", "options", "prefix", "more"),
    [(ExponentialMovingAverage, (0.9,), "ema", set()), (StochasticWeightAverage, (), "swa", {"swa_count"})],
)
def test_averaged_parameters_have_a_prefix_and_are_not_trained(kind, options, prefix, more):
    network = random_vit()
    average = keep_alive(kind(network, *options))
    weights = values_of(network)
    own = {item.name: item for item in average.get_parameters() if item.name not in weights}
    assert own.keys() == {f"{prefix}.{name}" for name in weights} | more
    assert not any(item.requires_grad for item in own.values())
    assert average.tensors().keys() == weights.keys()
    assert [item.name for item in network.get_parameters()] == list(weights), "the network keeps its names"
