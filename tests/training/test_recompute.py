"""Blocks whose inner results are computed again for their gradients."""

import runpy
from dataclasses import replace

import numpy as np
import pytest
from mindspore import Tensor

from mindvit.data.sampling import SamplingPlan
from mindvit.models import ViT, ViTConfig
from mindvit.runtime import Runtime
from mindvit.training.setup import build
from mindvit.training.averaged_model import AverageSettings
from mindvit.training.optimizers import OptimizerSettings
from mindvit.training.recipe import Recipe, TrainSettings
from tests.conftest import ROOT

CONFIG = ViTConfig(
    **{"image_size": 8, "patch_size": 4, "num_classes": 3, "embed_dim": 16, "depth": 1, "num_heads": 2, "mlp_dim": 32},
    **{"drop_path": 0.4, "drop_path_mode": "constant"},
)
NO_AVERAGES = AverageSettings()
COURSE = SamplingPlan(num_images=80, batch_size=8, seed=0)

# MindSpore compiles a cell again where another one was freed in the meantime.
alive = []


def vit(config=CONFIG):
    rng, network = np.random.default_rng(5), ViT(config)
    for parameter in network.get_parameters():
        values = 0.1 * rng.standard_normal(parameter.shape) + parameter.name.endswith("gamma")
        parameter.set_data(Tensor(values.astype(np.float32)))
    return network


def engine_of(network, precision="O0", teacher=None, average=NO_AVERAGES, **settings):
    recipe = Recipe(
        optimizer=OptimizerSettings(lr=0.01, clip_norm=1.0),
        train=TrainSettings(**settings),
        average=average,
    )
    engine = build(recipe, Runtime("CPU", precision), network, COURSE, 20, teacher)
    alive.append(engine)
    return engine


def trained(config, precision, **settings):
    """Names and values of all parameters of the step after three steps, and the steps' losses."""
    engine = engine_of(vit(config), precision, **settings)
    rng, losses = np.random.default_rng(1), []
    for _ in range(3):
        images = rng.standard_normal((16, 3, 8, 8)).astype(np.float32)
        labels = rng.integers(0, 3, 16).astype(np.int32)
        keys = rng.integers(-(2**31), 2**31, 16).astype(np.int32)
        batch = (images, labels, keys, np.zeros(6, np.float32))
        losses.append(engine.step.set_train()(*map(Tensor, batch))[0].asnumpy().item())
    return {parameter.name: parameter.asnumpy() for parameter in engine.step.get_parameters()}, losses


@pytest.mark.parametrize(("attention_dropout", "precision", "parts"), [(0.3, "O2", 1), (0.0, "O0", 2)])
def test_a_run_that_recomputes_has_the_same_weights(attention_dropout, precision, parts):
    """With dropout and drop path: the masks of the second pass are those of the first."""
    config = replace(CONFIG, attention_dropout=attention_dropout)
    kept, losses = trained(config, precision, accumulate_steps=parts)
    again, losses_again = trained(config, precision, accumulate_steps=parts, recompute=True)
    assert losses == losses_again
    assert kept.keys() == again.keys()
    for name, values in kept.items():
        np.testing.assert_array_equal(values, again[name], err_msg=name)


def recomputed(network):
    return [cell._recompute_cell is not None for cell in network.transformer.layers]


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("precision", ["O0", "O2"])
def test_the_blocks_of_the_network_in_training_are_recomputed_and_no_others(precision, asked):
    network, teacher = vit(replace(CONFIG, depth=2)), vit()
    averages = AverageSettings(ema_decay=0.5, swa_start_epoch=1)
    engine = engine_of(network, precision, teacher, averages, recompute=asked)
    assert recomputed(network) == [asked] * 2
    assert recomputed(engine.ema.network) == recomputed(engine.swa.network) == [False] * 2
    assert recomputed(teacher) == [False]


def test_recomputing_beside_accumulation_is_said_to_save_nothing():
    with pytest.warns(match="train.recompute saves nothing beside train.accumulate_steps above 1"):
        engine_of(vit(), accumulate_steps=2, recompute=True)


def test_recomputing_keeps_less_than_any_training_that_keeps_inner_results():
    """Those are, of each block: two norms', queries, keys, values, the attention weights, what they weigh, and twice
    the hidden layer, of 2 * 128; all but a GELU's input are gradients' factors."""
    measure = runpy.run_path(str(ROOT / "scripts" / "measure_recompute.py"))["measure"]
    depth, batch, heads, tokens, width = 4, 96, 4, 65, 128
    found = measure(True, "--model", "vit_mini_4_32", "--depth", str(depth), "--batch", str(batch), "--steps", "2")
    kept = depth * batch * tokens * (10 * width + heads * tokens) * 4 / 1e6
    assert 0 < found["pool"] < 0.9 * kept
