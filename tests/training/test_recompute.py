"""Recomputing the activations of blocks in the backward pass."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from mindspore import nn

from mindvit.benchmark.worker_process import WorkerProcess
from mindvit.config import plain
from mindvit.data.settings import DataSettings
from mindvit.factory import ModelSettings
from mindvit.ops.operation import use_native_kernels
from mindvit.runtime import Runtime, RuntimeSettings
from mindvit.training.ema import EMASettings
from mindvit.training.optimizer_settings import OptimizerSettings, ParamRule
from mindvit.training.recipe import Recipe, TrainSettings
from mindvit.training.recompute import RecomputedGradients
from mindvit.training.swa import SWASettings
from tests.training.builders import CPU, build_components, random_vit, run_step, values_of

DROP_PATH = {"drop_path": 0.4, "drop_path_mode": "constant"}
ALL_DROPOUT = {**DROP_PATH, "dropout": 0.2, "attention_dropout": 0.3, "block_dropout": 0.1, "patch_dropout": 0.25}
ALL_TOKENS = {"distilled": True, "register_tokens": 2, "pos_embed": "learned2d", "layer_scale": 0.1}
O2 = Runtime("CPU", "O2")
FROZEN_BLOCK = OptimizerSettings(lr=0.01, rules=[ParamRule("transformer.layers.1.*", frozen=True)])
FROZEN_START = [ParamRule("*", frozen=True), ParamRule("*layers.[12].*", frozen=False)]


def components_of(network, runtime=CPU, teacher=None, groups=None, **train):
    groups = {"optimizer": OptimizerSettings(lr=0.01, clip_norm=1.0), **(groups or {})}
    return build_components(network, runtime, teacher=teacher, train=TrainSettings(**train), **groups)


def trained(recompute, runtime=CPU, accumulate_steps=1, groups=None, has_teacher=False, **model):
    """Names and values of all parameters of the step after three steps; losses and norms of the gradients."""
    network = random_vit(**{"depth": 3, **model})
    teacher = random_vit(seed=6) if has_teacher else None
    components = components_of(
        network, runtime, teacher, groups, accumulate_steps=accumulate_steps, recompute=recompute
    )
    rng, outputs = np.random.default_rng(1), []
    components.step.set_train()
    for _ in range(3):
        images = rng.standard_normal((16, 3, 8, 8)).astype(np.float32)
        labels, rng_keys = rng.integers(0, 3, 16), rng.integers(-(2**31), 2**31, 16)
        outputs.append(run_step(components.step, images, labels, rng_keys)[:2])
    components.step.publish()
    return values_of(components.step), outputs


def assert_same_weights(**case):
    stored, outputs = trained(recompute=False, **case)
    again, outputs_again = trained(recompute=True, **case)
    assert outputs == outputs_again
    assert stored.keys() == again.keys()
    for name, values in stored.items():
        np.testing.assert_array_equal(values, again[name], err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        {**ALL_DROPOUT, "accumulate_steps": 4, "groups": {"ema": EMASettings(decay=0.5)}},
        {**DROP_PATH, **ALL_TOKENS, "has_teacher": True},
        {"runtime": O2, "accumulate_steps": 2, "qk_norm": True, "block_dropout": 0.1},
        {"runtime": replace(CPU, flat_weights=True), "pos_embed": "relative", "pool": "map", "class_token": False},
        {"window_size": 3, "patch_size": 2, "pool": "mean_norm", "groups": {"optimizer": FROZEN_BLOCK}},
    ],
    ids=["all dropout, accumulated", "all tokens, distilled", "O2, accumulated", "in buffers", "frozen block, windows"],
)
def test_a_run_that_recomputes_has_the_same_weights(case):
    """Bit for bit: the dropout masks of the second forward pass are those of the first."""
    assert_same_weights(**case)


@pytest.mark.slow
def test_a_run_without_native_kernels_that_recomputes_has_the_same_weights():
    use_native_kernels(None)
    assert_same_weights(**DROP_PATH, dropout=0.2, accumulate_steps=2)


@pytest.mark.eager
@pytest.mark.parametrize(
    "case",
    [
        {**ALL_DROPOUT, "accumulate_steps": 2},
        {"depth": 1},
        {"groups": {"optimizer": OptimizerSettings(lr=0.01, rules=FROZEN_START)}, "depth": 4},
        {"groups": {"optimizer": OptimizerSettings(lr=0.01, linear_probing=True)}},
    ],
    ids=["all dropout, accumulated", "one block", "frozen start", "head alone"],
)
def test_recomputed_operator_by_operator_the_weights_are_the_same(case):
    assert_same_weights(**case)


def recomputed(network):
    return [cell._recompute_cell is not None for cell in network.transformer.layers]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("amp_level", ["O0", "O2"])
def test_on_another_device_mindspore_recomputes_the_blocks_of_the_network_in_training(amp_level, recompute):
    network, teacher = random_vit(depth=2), random_vit()
    averages = {"ema": EMASettings(decay=0.5), "swa": SWASettings(start_epoch=1)}
    components = components_of(network, Runtime("Ascend", amp_level), teacher, averages, recompute=recompute)
    assert not isinstance(components.step.value_and_grad, RecomputedGradients)
    assert recomputed(network) == [recompute] * 2
    assert recomputed(components.ema.network) == recomputed(components.swa.network) == [False] * 2
    assert recomputed(teacher) == [False]


@pytest.mark.parametrize("recompute", [False, True])
def test_on_a_cpu_the_training_step_recomputes(recompute):
    network = random_vit(depth=2)
    step = components_of(network, recompute=recompute).step
    assert isinstance(step.value_and_grad, RecomputedGradients) == recompute
    assert not any(recomputed(network))


def test_a_warning_says_that_another_device_recomputes_nothing_with_accumulation():
    with pytest.warns(match="train.recompute has no effect with train.accumulate_steps above 1"):
        components_of(random_vit(), Runtime("Ascend", "O0"), accumulate_steps=2, recompute=True)


def test_a_network_with_batch_norm_is_not_recomputed_and_a_warning_says_so():
    network = random_vit(depth=2)
    network.insert_child_to_cell("stem", nn.BatchNorm2d(3))
    with pytest.warns(match="train.recompute has no effect on a CPU with the stem"):
        step = components_of(network, recompute=True).step
    assert not isinstance(step.value_and_grad, RecomputedGradients)


@pytest.mark.slow
@pytest.mark.parametrize(("is_native", "accumulate_steps"), [(False, 1), (True, 1), (True, 2)])
def test_recompute_stores_less_than_any_training_that_stores_activations(tmp_path, is_native, accumulate_steps):
    """The activations of a block are two norms, query, key, value, the sums of the values, and the hidden layer, of
    2 * 128 before GELU. All but the input of GELU are factors of gradients."""
    depth, batch, tokens, width = 12, 96, 65, 128
    model = ModelSettings(name="vit_mini_4_32", depth=depth, drop_path=0.1)
    groups = {
        "data": DataSettings(batch_size=batch),
        "train": TrainSettings(recompute=True, accumulate_steps=accumulate_steps),
        "runtime": RuntimeSettings(native_kernels="auto" if is_native else False),
    }
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(plain(Recipe(model=model, **groups))), encoding="utf-8")
    job = {"task": "train", "contestant": "mindvit", "recipe": str(file), "num_classes": 10, "threads": 2}
    with WorkerProcess("mindspore", job) as worker:
        pool = worker.finish()
    stored = depth * batch * tokens * 8 * width * 4
    assert 0 < pool < 0.6 * stored
