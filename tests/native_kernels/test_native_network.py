"""A network with native kernels computes what it computes with MindSpore's operators."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindvit import create_model
from mindvit.ops.operation import PORTABLE, forms_of

SMALL = {"image_size": 48, "embed_dim": 64, "mlp_dim": 160, "depth": 2, "num_heads": 4, "num_classes": 10}
CASES = {
    "tanh": {},
    "exact": {"gelu": "exact"},
    "layer scale": {"layer_scale": 0.1},
    "norms of query and key": {"qk_norm": True},
    "relative bias": {"pos_embed": "relative"},
    "windows": {"window_size": 3},
    "dropout": {"dropout": 0.1, "attention_dropout": 0.1, "drop_path": 0.2},
}


class Gradients(nn.Cell):
    """Logits and the gradients of the sum of their squares."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network
        self.gradients = ms.value_and_grad(self.loss, None, network.trainable_params(), has_aux=True)

    def loss(self, images, rng_keys):
        logits = self.network(images, rng_keys)
        return ops.square(logits).sum(), logits

    def construct(self, images, rng_keys):
        return self.gradients(images, rng_keys)


def make_pair(rng, **options):
    """The same network with native kernels and without."""
    native = create_model("vit_ti_16_224", **SMALL, **options)
    with forms_of(PORTABLE):
        portable = create_model("vit_ti_16_224", **SMALL, **options)
    for one, other in zip(native.get_parameters(), portable.get_parameters(), strict=True):
        values = Tensor((rng.standard_normal(one.shape) * 0.2 + ("gamma" in one.name)).astype(np.float32))
        one.set_data(values)
        other.set_data(values)
    return native, portable


@pytest.mark.eager
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_logits_and_gradients_are_those_of_the_portable_operators(native_kernels, rng, options):
    images = Tensor(rng.standard_normal((2, 3, 48, 48)).astype(np.float32))
    rng_keys = Tensor(np.array([3, 4], np.int32))
    results = []
    for network in make_pair(rng, **options):
        (_, logits), gradients = Gradients(network.set_train())(images, rng_keys)
        results.append((logits.asnumpy(), [gradient.asnumpy() for gradient in gradients]))
    (logits, gradients), (expected_logits, expected) = results
    np.testing.assert_allclose(logits, expected_logits, rtol=0, atol=1e-5 * np.abs(expected_logits).max())
    largest = max(np.abs(wanted).max() for wanted in expected)
    for found, wanted in zip(gradients, expected, strict=True):
        # The gradient of the offset of the keys is zero, but for rounding.
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * max(np.abs(wanted).max(), 1e-2 * largest))


def test_a_compiled_network_uses_the_native_kernels(native_kernels, rng):
    native, portable = make_pair(rng)
    images = Tensor(rng.standard_normal((2, 3, 48, 48)).astype(np.float32))
    results = []
    for network in (native, portable):
        cell = Gradients(network.set_train())
        (_, logits), gradients = cell(images, Tensor(np.array([3, 4], np.int32)))
        results.append([logits.asnumpy(), *(gradient.asnumpy() for gradient in gradients)])
    for found, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())
