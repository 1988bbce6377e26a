"""Weights in flat buffers: the same results as with single tensors."""

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest

from mindvit.models import ViT, ViTConfig
from mindvit.runtime import Runtime
from mindvit.training import flat_weights
from mindvit.training.ema import EMASettings
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.recipe import TrainSettings
from mindvit.training.swa import SWASettings
from mindvit.training.train_checkpoint import train_state_tensors
from tests.training.builders import SIZES, build_components, run_step
from tests.training.checkpoint_builders import fill

PLAIN = Runtime("CPU", "O0")
FLAT = replace(PLAIN, flat_weights=True)
# The bias of the keys has no gradient but rounding errors, which Adam divides by their own size and eps.
OPTIMIZER = OptimizerSettings(lr=0.01, eps=1e-3, weight_decay=0.1, layer_decay=0.8, clip_norm=0.5)


def components_of(runtime, optimizer=OPTIMIZER, accumulate_steps=1, **sizes):
    """Components with EMA and SWA, and the same random weights each time."""
    ms.set_seed(0)
    network = ViT(ViTConfig(**{**SIZES, "drop_path": 0.3, **sizes}))
    fill(network.get_parameters(), np.random.default_rng(0), 0.3)
    groups = {"optimizer": optimizer, "ema": EMASettings(decay=0.9), "swa": SWASettings(start_epoch=1)}
    components = build_components(network, runtime, train=TrainSettings(accumulate_steps=accumulate_steps), **groups)
    components.step.set_train()
    return components


def train(components, steps=3):
    """The outputs of each step, and all that a training checkpoint holds afterwards."""
    rng, outputs = np.random.default_rng(1), []
    config = components.step.network.config
    for _ in range(steps):
        images = rng.standard_normal((4, 3, *config.image_shape)).astype(np.float32)
        outputs.append(run_step(components.step, images, rng.integers(0, config.num_classes, 4)))
    return outputs, state_of(components)


def trained_with_single_tensors(**options):
    """The outputs and the state after three steps, computed operator by operator."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        return train(components_of(PLAIN, **options))
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)


def state_of(components):
    found = train_state_tensors(components.step, components.averages)
    return {name: tensor.asnumpy().copy() for name, tensor in found.items()}


def assert_close(found, expected, tolerance=2e-6):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].shape == values.shape and found[name].dtype == values.dtype, name
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=tolerance, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulate_steps": 2, "optimizer": OptimizerSettings("sgd", lr=0.1, weight_decay=0.1)},
        {
            "pos_embed": "learned2d",
            "register_tokens": 2,
            "distilled": True,
            "layer_scale": 0.1,
            "qk_norm": True,
        },
        {"pool": "map", "class_token": False, "pos_embed": "relative"},
    ],
    ids=["groups of many rates", "accumulated SGD", "all tokens", "pooling and relative positions"],
)
def test_the_step_and_its_state_are_those_of_single_tensors(options):
    expected, state = trained_with_single_tensors(**options)
    found, flat = train(components_of(FLAT, **options))
    np.testing.assert_allclose(np.float32(found), np.float32(expected), rtol=1e-5)
    assert_close(flat, state)


@pytest.mark.slow
def test_a_run_continues_on_the_other_side_with_the_state_of_one():
    """Both forms read what the other saved, and the weights that are loaded are those that compute."""
    from mindvit.training.resume import LoadedCheckpoint, load_train_checkpoint
    from tests.training.checkpoint_builders import run_state

    _, state = trained_with_single_tensors()
    tensors = {name: ms.Tensor(values) for name, values in state.items()}
    after = []
    for runtime in (PLAIN, FLAT):
        components = components_of(runtime)
        fill(components.step.network.get_parameters(), np.random.default_rng(5))
        load_train_checkpoint(LoadedCheckpoint(None, tensors, run_state(), {}, None), components)
        assert_close(state_of(components), state, tolerance=0)
        after.append(train(components)[1])
    assert_close(after[1], after[0])


@pytest.mark.slow
def test_the_weights_compute_in_16_bit_and_are_updated_in_float32():
    components = components_of(replace(FLAT, amp_level="O2"))
    outputs, state = train(components)
    expected, exact = trained_with_single_tensors()
    assert np.float32(outputs)[:, 0] == pytest.approx(np.float32(expected)[:, 0], rel=0.02)
    names = [name for name in exact if name.endswith("qkv.weight") and not name.startswith(("optimizer", "ema", "swa"))]
    for name in names:
        change = state[name] - state[name].astype(np.float16)
        assert np.abs(change).max() > 0, "the master weights have more digits than the copies"
        np.testing.assert_allclose(state[name], exact[name], atol=0.03)
    flat = components.step.flat
    assert {copy.dtype for copy in flat.copies} == {ms.float16}
    assert {2, 1} == {copy.ndim for copy in flat.copies}, "matrices by the length of their rows, and a vector"
    for copy, (master, start, stop, shape) in zip(flat.copies, flat.copied, strict=True):
        values = flat.masters[master].asnumpy()[start:stop].reshape(shape)
        np.testing.assert_array_equal(copy.asnumpy(), values.astype(np.float16))
    for buffers in (flat.masters, flat.copies):
        assert len({buffer.shape for buffer in buffers}) == len(buffers)


def test_the_parameters_of_the_network_stay_what_they_are():
    network = ViT(ViTConfig(**SIZES))
    names = [parameter.name for parameter in network.get_parameters()]
    build_components(network, FLAT, optimizer=OPTIMIZER)
    assert [parameter.name for parameter in network.get_parameters()] == names


def test_buffers_of_one_shape_get_more_rows():
    """MindSpore 2.10 confuses parameters of one shape if views of both are in a graph."""
    used = set()
    found = [flat_weights._unused(shape, used) for shape in ((4, 2), (4, 2), (4,), (5, 2), (4,))]
    assert found == [(4, 2), (5, 2), (4,), (6, 2), (5,)]
    assert used == set(found)
