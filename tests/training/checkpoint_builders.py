"""Components of runs with every kind of state, and training checkpoints of them."""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor

from mindvit.data.fingerprint import DataFingerprint, SplitFingerprint
from mindvit.data.settings import AugmentSettings
from mindvit.models import ViT, ViTConfig
from mindvit.runtime import Runtime
from mindvit.training.ema import EMASettings
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.recipe import TrainSettings
from mindvit.training.run_state import RunState
from mindvit.training.swa import SWASettings
from mindvit.training.train_checkpoint import checkpoint_name, train_state_tensors, write_train_checkpoint
from tests.training.builders import SIZES, STEPS, build_components

SMALL = {**SIZES, "embed_dim": 8, "mlp_dim": 8}
SETTINGS = {"optimizer": {"lr": 0.1, "betas": [0.9, 0.999]}, "data": {"path": "Bilder/狗"}, "world_size": 1}
DATA = DataFingerprint(SplitFingerprint(("cat", "dog", "emu"), (9, 8, 7), ("c", "d", "e")), None)
GROUPS = {
    "optimizer": OptimizerSettings(lr=0.01, clip_norm=1.0),
    "ema": EMASettings(decay=0.9, warmup=True),
    "swa": SWASettings(start_epoch=1),
    "augment": AugmentSettings(mixup=0.8),
}


def components_of(seed=0, micro_batches=2, distills=False, **sizes):
    """Components with every kind of state, and random weights. The teacher always has the same weights."""
    ms.set_seed(seed)
    network = ViT(ViTConfig(**{**SMALL, "drop_path": 0.3, **sizes}))
    fill(network.get_parameters(), np.random.default_rng(seed), 0.3)
    teacher = None
    if distills:
        teacher = ViT(ViTConfig(**{**SMALL, **sizes}))
        fill(teacher.get_parameters(), np.random.default_rng(9), 0.3)
    train = TrainSettings(accumulate_steps=micro_batches)
    return build_components(network, Runtime("CPU", "O2"), teacher=teacher, train=train, **GROUPS)


def fill(parameters, rng, scale=1.0):
    for parameter in parameters:
        values = scale * rng.standard_normal(parameter.shape)
        is_integer = parameter.dtype == ms.int32
        parameter.set_data(Tensor(np.asarray(100 * values if is_integer else values), parameter.dtype))


def filled_components():
    """Components whose weights, averages and optimizer states are all random."""
    components = components_of()
    fill(parameters_of(components).values(), np.random.default_rng(1))
    return components


def parameters_of(components):
    cells = [components.step, *components.averages]
    return {parameter.name: parameter for cell in cells for parameter in cell.get_parameters()}


def state_values(components):
    """The values that a training checkpoint must hold, by name."""
    not_stored = ("accumulated.", "teacher.")
    parameters = parameters_of(components)
    return {name: item.asnumpy().copy() for name, item in parameters.items() if not name.startswith(not_stored)}


def assert_bitwise_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        assert found[name].tobytes() == values.tobytes(), name


def run_state(**values):
    return RunState(steps_per_epoch=10, total_steps=STEPS, **values)


def write(folder, components, state, settings=SETTINGS, epoch=None, data=DATA) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / checkpoint_name(state, epoch)
    write_train_checkpoint(path, train_state_tensors(components.step, components.averages), state, settings, data)
    return path


def truncate(data):
    """The first half of a file, which ends within a tensor."""
    return data[: len(data) // 2 + 1]
