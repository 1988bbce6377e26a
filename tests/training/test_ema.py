"""EMA, compared with NumPy's arithmetic over the weights after each update."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindvit.losses import CrossEntropySmooth
from mindvit.training.ema import EMASettings, ExponentialMovingAverage
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.optimizers import make_optimizer
from mindvit.training.param_groups import make_rules, resolve_param_groups
from mindvit.training.step import TrainStep
from tests import numpy_vit
from tests.training.builders import (
    SIZES,
    ChangeWeights,
    assert_close,
    averages_of,
    keep_alive,
    logits_of,
    random_vit,
    run_step,
    values_of,
)

pytestmark = pytest.mark.eager


@pytest.fixture
def network():
    """A network whose weights are so large that their updates change the logits."""
    return random_vit(scale=0.3)


@pytest.mark.graph
@pytest.mark.slow
def test_ema_follows_every_update_and_ignores_skipped_steps(network, rng):
    settings, limit = OptimizerSettings(lr=0.05), 0.15
    parameters = network.trainable_params()
    optimizer = make_optimizer(settings, parameters, resolve_param_groups(parameters, make_rules(settings, 1)))
    ema = keep_alive(ExponentialMovingAverage(network, limit, warmup=True))
    step = TrainStep(network, CrossEntropySmooth(3), optimizer, np.full(9, 0.05, np.float32), ema=ema).set_train()
    keep_alive(step)
    expected = values_of(network)
    assert_close(averages_of(ema), expected, 0)
    images = rng.standard_normal((4, 3, 8, 8)).astype(np.float32)
    decays = [1 / 10, None, limit, limit]  # The second batch is not finite; 2 / 11 and 3 / 12 are above the limit.
    for decay in decays:
        batch = np.full_like(images, np.nan) if decay is None else images
        *_, updated = run_step(step, batch, [0, 1, 2, 0], np.zeros(4, np.int32), np.zeros(6, np.float32))
        assert updated == (decay is not None)
        if decay is not None:
            weights = values_of(network)
            expected = {name: decay * expected[name] + (1 - decay) * weights[name] for name in weights}
        assert_close(averages_of(ema), expected)
    assert_close(values_of(network), weights, 0)

    averaged, raw = logits_of(ema.network, images), logits_of(network, images)
    np.testing.assert_allclose(averaged, numpy_vit.vit(images, expected, SIZES["num_heads"]), atol=1e-4)
    np.testing.assert_allclose(raw, numpy_vit.vit(images, weights, SIZES["num_heads"]), atol=1e-4)
    assert np.abs(averaged - raw).max() > 0.02


def test_without_warmup_the_decay_is_constant(network):
    change, ema = keep_alive(ChangeWeights(network)), keep_alive(ExponentialMovingAverage(network, 0.7))
    expected = values_of(network)
    for step in range(3):
        change(Tensor(0.8, ms.float32), Tensor(0.1, ms.float32))
        ema(Tensor(step, ms.int32))
        weights = values_of(network)
        expected = {name: 0.7 * expected[name] + 0.3 * weights[name] for name in weights}
        assert_close(averages_of(ema), expected)


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_a_decay_out_of_range_is_an_error(decay):
    with pytest.raises(ValueError, match=f"ema.decay must lie between 0 and 1, not {decay}"):
        EMASettings(decay=decay)
