"""Recomputing the activations of blocks in the backward pass."""

import numpy as np
import pytest
import yaml
from mindspore import Tensor

from mindvit.benchmark.worker_process import WorkerProcess
from mindvit.config import plain
from mindvit.data.settings import DataSettings
from mindvit.factory import ModelSettings
from mindvit.ops.operation import use_native_kernels
from mindvit.runtime import Runtime, RuntimeSettings
from mindvit.training.ema import EMASettings
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.recipe import Recipe, TrainSettings
from mindvit.training.swa import SWASettings
from tests.training.builders import build_components, random_vit

DROP_PATH = {"drop_path": 0.4, "drop_path_mode": "constant"}


@pytest.fixture(autouse=True)
def portable_kernels(default_kernels):
    """Native kernels have written gradients, which MindSpore does not recompute."""
    use_native_kernels(None)


def components_of(network, amp_level="O0", teacher=None, groups=None, **train):
    optimizer = OptimizerSettings(lr=0.01, clip_norm=1.0)
    groups = {"optimizer": optimizer, "train": TrainSettings(**train), **(groups or {})}
    return build_components(network, Runtime("CPU", amp_level), teacher=teacher, **groups)


def trained(attention_dropout, amp_level, **settings):
    """Names and values of all parameters of the step after three steps, and the losses of the steps."""
    network = random_vit(**DROP_PATH, attention_dropout=attention_dropout)
    components = components_of(network, amp_level, **settings)
    rng, losses = np.random.default_rng(1), []
    for _ in range(3):
        images = rng.standard_normal((16, 3, 8, 8)).astype(np.float32)
        labels = rng.integers(0, 3, 16).astype(np.int32)
        rng_keys = rng.integers(-(2**31), 2**31, 16).astype(np.int32)
        batch = (images, labels, rng_keys, np.zeros(6, np.float32))
        losses.append(components.step.set_train()(*map(Tensor, batch))[0].asnumpy().item())
    return {parameter.name: parameter.asnumpy() for parameter in components.step.get_parameters()}, losses


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:train.recompute has no effect")
@pytest.mark.parametrize(("attention_dropout", "amp_level", "micro_batches"), [(0.3, "O2", 1), (0.0, "O0", 2)])
def test_a_run_that_recomputes_has_the_same_weights(attention_dropout, amp_level, micro_batches):
    """With dropout and drop path: the masks of the second forward pass are those of the first."""
    stored, losses = trained(attention_dropout, amp_level, accumulate_steps=micro_batches)
    again, losses_again = trained(attention_dropout, amp_level, accumulate_steps=micro_batches, recompute=True)
    assert losses == losses_again
    assert stored.keys() == again.keys()
    for name, values in stored.items():
        np.testing.assert_array_equal(values, again[name], err_msg=name)


def recomputed(network):
    return [cell._recompute_cell is not None for cell in network.transformer.layers]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("amp_level", ["O0", "O2"])
def test_only_the_blocks_of_the_network_in_training_are_recomputed(amp_level, recompute):
    network, teacher = random_vit(**DROP_PATH, depth=2), random_vit(**DROP_PATH)
    averages = {"ema": EMASettings(decay=0.5), "swa": SWASettings(start_epoch=1)}
    components = components_of(network, amp_level, teacher, averages, recompute=recompute)
    assert recomputed(network) == [recompute] * 2
    assert recomputed(components.ema.network) == recomputed(components.swa.network) == [False] * 2
    assert recomputed(teacher) == [False]


def test_with_native_kernels_nothing_is_recomputed_and_a_warning_says_so(native_kernels):
    use_native_kernels(native_kernels)
    network = random_vit(**DROP_PATH)
    with pytest.warns(match="train.recompute has no effect with native kernels"):
        components_of(network, recompute=True)
    assert not any(recomputed(network))


def test_a_warning_says_that_recompute_has_no_effect_with_accumulation():
    with pytest.warns(match="train.recompute has no effect with train.accumulate_steps above 1"):
        components_of(random_vit(**DROP_PATH), accumulate_steps=2, recompute=True)


@pytest.mark.slow
def test_recompute_stores_less_than_any_training_that_stores_activations(tmp_path):
    """The activations of a block are two norms, query, key, value, the attention weights, their weighted sum, and twice
    the hidden layer, of 2 * 128. All but the input of a GELU are factors of gradients."""
    depth, batch, heads, tokens, width = 4, 96, 4, 65, 128
    model = ModelSettings(name="vit_mini_4_32", depth=depth, drop_path=0.1)
    groups = {"data": DataSettings(batch_size=batch), "train": TrainSettings(recompute=True)}
    recipe = Recipe(model=model, runtime=RuntimeSettings(native_kernels=False), **groups)
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(plain(recipe)), encoding="utf-8")
    job = {"task": "train", "contestant": "mindvit", "recipe": str(file), "num_classes": 10, "threads": 2}
    with WorkerProcess("mindspore", job) as worker:
        pool = worker.finish()
    stored = depth * batch * tokens * (10 * width + heads * tokens) * 4
    assert 0 < pool < 0.9 * stored
