from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from mindvit import create_model
from mindvit.errors import UserError
from mindvit.weights.checkpoint import Checkpoint
from mindvit.weights.loading import load_tensors

SIZES = {"image_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 2, "mlp_dim": 16}


def tiny(num_classes=3, **overrides):
    return create_model("vit_mini_4_32", num_classes=num_classes, **{**SIZES, **overrides})


def checkpoint_of(network, **changes):
    rng = np.random.default_rng(1)
    tensors = {
        parameter.name: ms.Parameter(ms.Tensor(rng.standard_normal(parameter.shape).astype(np.float32)))
        for parameter in network.get_parameters()
    }
    for name, value in changes.items():
        name = name.replace("__", ".")
        if value is None:
            del tensors[name]
        else:
            tensors[name] = ms.Parameter(ms.Tensor(np.zeros(value, np.float32)))
    return Checkpoint(Path("x.ckpt"), tensors, None)


def values(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def test_every_tensor_is_loaded():
    network = tiny()
    checkpoint = checkpoint_of(network)
    assert load_tensors(network, checkpoint) == []
    for name, loaded in values(network).items():
        np.testing.assert_array_equal(loaded, checkpoint.tensors[name].asnumpy())


def test_float16_weights_are_loaded_as_float32():
    network = tiny()
    checkpoint = checkpoint_of(network)
    half = {name: ms.Parameter(tensor.astype(ms.float16)) for name, tensor in checkpoint.tensors.items()}
    load_tensors(network, Checkpoint(checkpoint.path, half, None))
    assert {parameter.dtype for parameter in network.get_parameters()} == {ms.float32}
    np.testing.assert_array_equal(network.cls.asnumpy(), half["cls"].asnumpy().astype(np.float32))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cls": None}, "it lacks cls"),
        ({"extra": (2,)}, "it has extra besides"),
        ({"norm__gamma": (5,)}, "norm.gamma is 5 and not 12"),
        ({"dense__weight": (7, 12), "dense__bias": (7,)}, "dense.bias is 7 and not 3.*--model.reset_head true"),
    ],
)
def test_differences_are_named_and_nothing_is_loaded(changes, words):
    network = tiny()
    before = values(network)
    with pytest.raises(UserError, match=words):
        load_tensors(network, checkpoint_of(network, **changes))
    for name, kept in values(network).items():
        np.testing.assert_array_equal(kept, before[name])


def test_many_differences_are_counted():
    with pytest.raises(UserError, match=r"and \d+ more"):
        load_tensors(tiny(depth=2), checkpoint_of(tiny()))


def test_the_head_is_only_reset_when_asked_for():
    network = tiny(num_classes=3)
    checkpoint = checkpoint_of(tiny(num_classes=7))
    assert load_tensors(network, checkpoint, reset_head=True) == ["dense.weight", "dense.bias"]
    assert network.dense.weight.shape == (3, 12)
    np.testing.assert_array_equal(network.cls.asnumpy(), checkpoint.tensors["cls"].asnumpy())


def test_a_head_that_fits_is_loaded_even_if_it_may_be_reset():
    network = tiny()
    assert load_tensors(network, checkpoint_of(network), reset_head=True) == []
    assert network.dense.weight.asnumpy().any()


def test_resetting_the_head_forgives_nothing_else():
    network = tiny(num_classes=3)
    with pytest.raises(UserError, match="it lacks cls"):
        load_tensors(network, checkpoint_of(tiny(num_classes=7), cls=None), reset_head=True)
