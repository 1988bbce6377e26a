"""SWA, compared with NumPy's mean of the weights."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindvit.training.swa import StochasticWeightAverage, SWASettings
from tests import numpy_vit
from tests.training.builders import (
    SIZES,
    ChangeWeights,
    assert_close,
    averages_of,
    keep_alive,
    logits_of,
    random_vit,
    values_of,
)

pytestmark = pytest.mark.eager


@pytest.mark.slow
def test_swa_is_the_mean_of_the_weights_at_its_calls(rng):
    network = random_vit(scale=0.3)
    change, swa = keep_alive(ChangeWeights(network)), keep_alive(StochasticWeightAverage(network))
    assert not swa.has_begun
    images, averaged = rng.standard_normal((4, 3, 8, 8)).astype(np.float32), []
    for factor, shift in ((0.8, 0.1), (-1.1, 0.02), (0.5, -0.05)):
        change(Tensor(factor, ms.float32), Tensor(shift, ms.float32))
        averaged.append(values_of(network))
        swa()
        assert swa.has_begun
        assert swa.count.asnumpy() == swa.num_averaged == len(averaged)
        expected = {name: np.mean([weights[name] for weights in averaged], axis=0) for name in averaged[0]}
        assert_close(averages_of(swa), expected)
        # Evaluated between the calls too, as after every epoch: each evaluation must use the current average.
        logits = logits_of(swa.network, images)
        np.testing.assert_allclose(logits, numpy_vit.vit(images, expected, SIZES["num_heads"]), atol=1e-4)
    assert_close(values_of(network), averaged[-1], 0)
    assert np.abs(logits - logits_of(network, images)).max() > 0.05


def test_a_start_epoch_below_one_is_an_error():
    with pytest.raises(ValueError, match=r"swa\.start_epoch must be at least 1, not 0"):
        SWASettings(start_epoch=0)


def test_an_average_that_would_start_after_the_last_epoch_is_noted(recwarn):
    SWASettings().warn_if_beyond(5)
    SWASettings(start_epoch=5).warn_if_beyond(5)
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"swa.start_epoch 6 is after the last epoch, 5: no weights are averaged"):
        SWASettings(start_epoch=6).warn_if_beyond(5)
