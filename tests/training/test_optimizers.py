import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter

from mindvit import create_model
from mindvit.training.optimizers import OptimizerSettings, is_decayed, make_optimizer

RATES = np.array([0.1, 0.01, 0.02, 0.02], np.float32)


def run(settings, rng):
    """Lets an optimizer take four steps on a matrix and a bias; returns them, and the same by the formula."""
    start = [rng.standard_normal((4, 5)), rng.standard_normal(4)]
    names = ("a.weight", "a.bias")
    params = [Parameter(ms.Tensor(v.astype(np.float32)), name=n) for v, n in zip(start, names, strict=True)]
    optimizer = make_optimizer(settings, params, RATES)
    expected = [values.copy() for values in start]
    first, second = [0.0, 0.0], [0.0, 0.0]
    beta1, beta2 = settings.betas
    for step, rate in enumerate(RATES.astype(np.float64), 1):
        gradients = [rng.standard_normal(values.shape).astype(np.float32) for values in start]
        optimizer(tuple(ms.Tensor(gradient) for gradient in gradients))
        for i, gradient in enumerate(gradients):
            if settings.name == "adamw" and i == 0:
                expected[i] *= 1 - rate * settings.weight_decay
            first[i] = beta1 * first[i] + (1 - beta1) * gradient
            second[i] = beta2 * second[i] + (1 - beta2) * gradient.astype(np.float64) ** 2
            unbiased = np.sqrt(second[i] / (1 - beta2**step))
            expected[i] -= rate * first[i] / (1 - beta1**step) / (unbiased + settings.eps)
    return [parameter.asnumpy() for parameter in params], expected


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.8, 0.95)])
def test_steps_follow_the_formula(rng, name, betas):
    got, expected = run(OptimizerSettings(name, betas=betas, weight_decay=0.5), rng)
    for values, reference in zip(got, expected, strict=True):
        np.testing.assert_allclose(values, reference, atol=5e-6)


def test_decay_pulls_weights_toward_zero_but_not_biases(rng):
    params = [Parameter(ms.Tensor(np.ones((2, 2), np.float32)), name=n) for n in ("a.weight", "a.bias")]
    optimizer = make_optimizer(OptimizerSettings("adamw", weight_decay=0.5), params, RATES)
    optimizer(tuple(ms.Tensor(np.zeros((2, 2), np.float32)) for _ in params))
    np.testing.assert_allclose(params[0].asnumpy(), 1 - 0.1 * 0.5)
    np.testing.assert_array_equal(params[1].asnumpy(), 1)


def test_norms_biases_class_token_and_positions_are_not_decayed():
    network = create_model("vit_mini_4_32", depth=1)
    decayed = {parameter.name for parameter in network.trainable_params() if is_decayed(parameter)}
    block = "transformer.layers.0"
    assert decayed == {
        "patch_embedding.conv.weight",
        f"{block}.0.cell.1.qkv.weight",
        f"{block}.0.cell.1.out.weight",
        f"{block}.1.cell.1.dense1.weight",
        f"{block}.1.cell.1.dense2.weight",
        "dense.weight",
    }
