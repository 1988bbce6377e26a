"""100 steps of a small ViT compared with PyTorch, from the same weights on the same batches."""

import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from sklearn.datasets import load_digits

from mindvit.losses import CrossEntropySmooth
from mindvit.models import ViT, ViTConfig
from mindvit.training.lr_schedule import ScheduleSettings, learning_rates
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.optimizers import make_optimizer
from mindvit.training.param_groups import make_rules, resolve_param_groups
from mindvit.training.step import TrainStep

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).parent.parent / "references/training_curves.npz"


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module", params=["adamw", "sgd"])
def run(request, reference):
    """The optimizer, the loss, gradient norm and learning rate of every step, and the final weights."""
    settings = json.loads(str(reference["settings"]))
    network = ViT(ViTConfig(**settings["model"]))
    for parameter in network.get_parameters():
        parameter.set_data(Tensor(reference[f"weights/{parameter.name}"]))
    common = {name: settings[name] for name in ("clip_norm", "layer_decay")}
    optimizer_settings = OptimizerSettings(request.param, **common, **settings[request.param])
    parameters = network.trainable_params()
    rules = make_rules(optimizer_settings, network.config.depth)
    optimizer = make_optimizer(optimizer_settings, parameters, resolve_param_groups(parameters, rules))
    batches, schedule = reference["indices"], ScheduleSettings("cosine", **settings["schedule"])
    rates = learning_rates(schedule, optimizer_settings.lr, len(batches), steps_per_epoch=len(batches))
    loss = CrossEntropySmooth(network.config.num_classes, settings["label_smoothing"])
    step = TrainStep(network, loss, optimizer, rates, clip_norm=optimizer_settings.clip_norm).set_train()
    digits, data = load_digits(), settings["data"]
    images = ((digits.images / data["white"] - data["mean"]) / data["std"]).astype(np.float32)
    images = np.repeat(images[:, None], network.config.in_channels, 1)
    unused = Tensor(np.zeros(batches.shape[1], np.int32)), Tensor(np.zeros(6, np.float32))
    rows = [
        [output.asnumpy().item() for output in step(*batch_of(images, digits.target, batch), *unused)]
        for batch in batches
    ]
    weights = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    losses, norms, used, finite = np.array(rows).T
    assert finite.all()
    return request.param, {"loss": losses, "grad_norm": norms, "lr": used}, weights


def batch_of(images, labels, indices):
    return Tensor(images[indices]), Tensor(labels[indices], ms.int32)


@pytest.mark.slow
@pytest.mark.parametrize(("curve", "tolerance"), [("loss", 1e-5), ("grad_norm", 1e-4), ("lr", 1e-6)])
def test_every_step_agrees_with_pytorch(run, reference, curve, tolerance):
    name, curves, _ = run
    np.testing.assert_allclose(curves[curve], reference[f"{name}/{curve}"], rtol=tolerance)


def test_the_final_weights_agree_with_pytorch(run, reference):
    name, _, weights = run
    for parameter, values in weights.items():
        expected = reference[f"{name}/final/{parameter}"]
        if parameter.endswith("qkv.bias"):
            # The bias of the keys has no effect. Its gradient is rounding noise, which Adam amplifies.
            values, expected = (
                np.delete(item, np.s_[len(item) // 3 : 2 * len(item) // 3]) for item in (values, expected)
            )
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5, err_msg=parameter)
