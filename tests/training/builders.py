"""Small networks and the parts of runs that tests of training build."""

import mindspore as ms
import numpy as np
from mindspore import ParameterTuple, Tensor, nn, ops

from mindvit.data.sampling import SamplingPlan
from mindvit.models import ViT, ViTConfig
from mindvit.runtime import Runtime
from mindvit.training.recipe import Recipe
from mindvit.training.setup import build

SIZES = {"image_size": 8, "patch_size": 4, "num_classes": 3, "embed_dim": 16, "depth": 1, "num_heads": 2, "mlp_dim": 32}
CPU = Runtime("CPU", "O0")
PLAN = SamplingPlan(num_images=80, batch_size=8, seed=0)
STEPS = 20
NO_MIX = np.float32([1, 1, 0, 0, 0, 0])

# MindSpore compiles a cell again if another cell was freed in the meantime.
_alive = []


def keep_alive(item):
    _alive.append(item)
    return item


def random_vit(seed=5, scale=0.1, **settings):
    """A ViT of ``SIZES`` with normally distributed weights of standard deviation ``scale``."""
    rng, network = np.random.default_rng(seed), ViT(ViTConfig(**{**SIZES, **settings}))
    for parameter in network.get_parameters():
        values = scale * rng.standard_normal(parameter.shape) + parameter.name.endswith("gamma")
        parameter.set_data(Tensor(values.astype(np.float32)))
    return keep_alive(network)


def values_of(cell):
    return {parameter.name: parameter.asnumpy().copy() for parameter in cell.get_parameters()}


def build_components(network, runtime=CPU, plan=PLAN, steps=STEPS, teacher=None, **groups):
    """The components of a run whose recipe has these groups of settings."""
    return keep_alive(build(Recipe(**groups), runtime, network, plan, steps, teacher))


def run_step(step, images, labels, rng_keys=None, mix=NO_MIX):
    """The outputs of one training step: loss, gradient norm, learning rate, and whether the weights were updated."""
    rng_keys = np.arange(len(labels)) if rng_keys is None else rng_keys
    outputs = step(Tensor(images), Tensor(labels, ms.int32), Tensor(rng_keys, ms.int32), Tensor(mix))
    return [output.asnumpy().item() for output in outputs]


class ChangeWeights(nn.Cell):
    """In place of training: gives the weights other values, ``factor * w + shift``."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.weights = ParameterTuple(network.get_parameters())

    def construct(self, factor, shift):
        for index in range(len(self.weights)):
            ops.assign(self.weights[index], self.weights[index] * factor + shift)
        return factor


def averages_of(averaged_model):
    return {name: average.asnumpy().copy() for name, average in averaged_model.tensors().items()}


def logits_of(network, images):
    return network.set_train(False)(Tensor(images)).asnumpy()


def assert_close(found, expected, tolerance=1e-6):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=tolerance, atol=tolerance, err_msg=name)
