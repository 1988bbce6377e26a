"""The averages, beside NumPy's arithmetic over the weights after each update."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import ParameterTuple, Tensor, nn, ops

from mindvit.losses import CrossEntropySmooth
from mindvit.models import ViT, ViTConfig
from mindvit.training.averaged_model import AverageSettings, ExponentialMovingAverage, StochasticWeightAverage
from mindvit.training.optimizers import OptimizerSettings, make_optimizer
from mindvit.training.param_groups import make_rules, resolve_param_groups
from mindvit.training.step import TrainStep
from tests import numpy_vit

CONFIG = ViTConfig(image_size=8, patch_size=4, num_classes=3, embed_dim=16, depth=1, num_heads=2, mlp_dim=32)

# MindSpore compiles a cell again where another one was freed in the meantime.
alive = []


@pytest.fixture
def network():
    """With weights so large that their updates move the logits."""
    rng, network = np.random.default_rng(5), ViT(CONFIG)
    for parameter in network.get_parameters():
        values = 0.3 * rng.standard_normal(parameter.shape) + parameter.name.endswith("gamma")
        parameter.set_data(Tensor(values.astype(np.float32)))
    return network


def values_of(parameters):
    return {parameter.name: parameter.asnumpy().copy() for parameter in parameters}


def average_of(cell):
    return {name: average.asnumpy().copy() for name, average in cell.tensors().items()}


def assert_same(found, expected, tolerance=1e-6):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=tolerance, atol=tolerance, err_msg=name)


def logits(network, images):
    return network.set_train(False)(Tensor(images)).asnumpy()


class Move(nn.Cell):
    """Stands for training: gives the weights other values."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.weights = ParameterTuple(network.get_parameters())

    def construct(self, factor, shift):
        for index in range(len(self.weights)):
            ops.assign(self.weights[index], self.weights[index] * factor + shift)
        return factor


def test_the_exponential_average_follows_every_update_and_no_skipped_one(network, rng):
    settings, limit = OptimizerSettings(lr=0.05), 0.15
    parameters = network.trainable_params()
    optimizer = make_optimizer(settings, parameters, resolve_param_groups(parameters, make_rules(settings, 1)))
    average = ExponentialMovingAverage(network, limit, warmup=True)
    step = TrainStep(network, CrossEntropySmooth(3), optimizer, np.full(9, 0.05, np.float32), ema=average).set_train()
    alive.extend([step, average])
    expected = values_of(network.get_parameters())
    assert_same(average_of(average), expected, 0)
    labels, keys, mix = Tensor([0, 1, 2, 0], ms.int32), Tensor(np.zeros(4, np.int32)), Tensor(np.zeros(6, np.float32))
    images = rng.standard_normal((4, 3, 8, 8)).astype(np.float32)
    decays = [1 / 10, None, limit, limit]  # The second one's batch is broken; 2 / 11 and 3 / 12 are above the limit.
    for decay in decays:
        batch = np.full_like(images, np.nan) if decay is None else images
        assert step(Tensor(batch), labels, keys, mix)[-1].asnumpy() == (decay is not None)
        if decay is not None:
            weights = values_of(network.get_parameters())
            expected = {name: decay * expected[name] + (1 - decay) * weights[name] for name in weights}
        assert_same(average_of(average), expected)
    assert_same(values_of(network.get_parameters()), weights, 0)

    own, raw = logits(average.network, images), logits(network, images)
    np.testing.assert_allclose(own, numpy_vit.vit(images, expected, CONFIG.num_heads), atol=1e-4)
    np.testing.assert_allclose(raw, numpy_vit.vit(images, weights, CONFIG.num_heads), atol=1e-4)
    assert np.abs(own - raw).max() > 0.02


def test_without_warm_up_the_decay_is_the_same_from_the_first_step_on(network):
    move, average = Move(network), ExponentialMovingAverage(network, 0.7)
    alive.extend([move, average])
    expected = values_of(network.get_parameters())
    for step in range(3):
        move(Tensor(0.8, ms.float32), Tensor(0.1, ms.float32))
        average(Tensor(step, ms.int32))
        weights = values_of(network.get_parameters())
        expected = {name: 0.7 * expected[name] + 0.3 * weights[name] for name in weights}
        assert_same(average_of(average), expected)


def test_the_stochastic_average_is_the_mean_of_the_weights_it_took(network, rng):
    move, average = Move(network), StochasticWeightAverage(network)
    alive.extend([move, average])
    images, taken = rng.standard_normal((4, 3, 8, 8)).astype(np.float32), []
    for factor, shift in ((0.8, 0.1), (-1.1, 0.02), (0.5, -0.05)):
        move(Tensor(factor, ms.float32), Tensor(shift, ms.float32))
        taken.append(values_of(network.get_parameters()))
        average()
        assert average.count.asnumpy() == len(taken)
        expected = {name: np.mean([weights[name] for weights in taken], axis=0) for name in taken[0]}
        assert_same(average_of(average), expected)
        # Evaluated between the calls too, as after every epoch: an evaluation must see what is there now.
        own = logits(average.network, images)
        np.testing.assert_allclose(own, numpy_vit.vit(images, expected, CONFIG.num_heads), atol=1e-4)
    assert_same(values_of(network.get_parameters()), taken[-1], 0)
    assert np.abs(own - logits(network, images)).max() > 0.05


@pytest.mark.parametrize(
    ("kind", "prefix", "more"), [(ExponentialMovingAverage, "ema", []), (StochasticWeightAverage, "swa", [1])]
)
def test_an_averages_parameters_carry_its_name_and_are_not_trained(network, kind, prefix, more):
    average = kind(network, 0.9) if kind is ExponentialMovingAverage else kind(network)
    weights = values_of(network.get_parameters())
    names = {f"{prefix}.{name}" for name in weights} | ({"swa_count"} if more else set())
    own = {item.name: item for item in average.get_parameters() if item.name not in weights}
    assert own.keys() == names
    assert not any(item.requires_grad for item in own.values())
    assert average.tensors().keys() == weights.keys()
    assert [item.name for item in network.get_parameters()] == list(weights), "the network keeps its own names"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ema_decay": 1.0}, "ema.decay must lie between 0 and 1, not 1.0"),
        ({"ema_decay": 0.0}, "ema.decay must lie between 0 and 1, not 0.0"),
        ({"swa_start_epoch": 0}, "swa.start_epoch must be at least 1, not 0"),
    ],
)
def test_mistakes_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        AverageSettings(**settings)
