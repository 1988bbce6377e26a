"""The step: what it returns and does to the weights, beside NumPy's arithmetic on a linear classifier."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, amp, nn, ops

from mindvit.losses import CrossEntropySmooth
from mindvit.models import ViT, ViTConfig
from mindvit.training.averaged_model import ExponentialMovingAverage
from mindvit.training.distillation import DistillationLoss, Teacher
from mindvit.training.mixup import Mixup
from mindvit.training.optimizers import OptimizerSettings, make_optimizer
from mindvit.training.param_groups import make_rules, resolve_param_groups
from mindvit.training.step import TrainStep
from tests.numpy_vit import softmax

BATCH, CLASSES, FEATURES = 8, 3, 12
RATES = np.array([0.5, 0.25, 0.1, 0.05], np.float32)
UNMIXED = np.float32([1, 1, 0, 0, 0, 0])

# MindSpore compiles a cell again where another one was freed in the meantime.
alive = []


class Linear(nn.Cell):
    def __init__(self, weight):
        super().__init__(auto_prefix=False)
        self.weight = Parameter(Tensor(weight), name="weight")

    def construct(self, images, keys):
        return ops.matmul(images.reshape(images.shape[0], -1), self.weight)


class Unkeyed(Linear):
    def construct(self, images):
        return ops.matmul(images.reshape(images.shape[0], -1), self.weight)


def step_of(network, settings, rates=RATES, **options):
    parameters = network.trainable_params()
    optimizer = make_optimizer(settings, parameters, resolve_param_groups(parameters, make_rules(settings, depth=1)))
    step = TrainStep(network, CrossEntropySmooth(CLASSES), optimizer, rates, **options).set_train()
    alive.append(step)
    return step


def run(step, images, labels, keys=None, mix=UNMIXED):
    """Loss, norm, learning rate, and whether an update was made."""
    keys = np.arange(len(labels)) if keys is None else keys
    outputs = step(Tensor(images), Tensor(labels, ms.int32), Tensor(keys, ms.int32), Tensor(mix))
    return [output.asnumpy().item() for output in outputs]


def batches(rng, *scales, size=2):
    """One batch for each scale of its images."""
    return [
        (np.float32(scale * rng.standard_normal((BATCH, 3, size, size))), rng.integers(0, CLASSES, BATCH))
        for scale in scales
    ]


def by_hand(weight, images, targets):
    """Loss and gradient of the linear classifier, in float64."""
    rows = images.reshape(len(images), -1).astype(np.float64)
    probability = softmax(rows @ weight)
    return -(targets * np.log(probability)).sum(1).mean(), rows.T @ (probability - targets) / len(rows)


def scaler(window=1000):
    return amp.DynamicLossScaler(2.0**16, 2, window)


OPTIONS = {
    "plain": {},
    "clip": {"clip_norm": 1.0},
    "parts": {"accumulate_steps": 4},
    "scaler": {"scaler": scaler},
    "clip of parts": {"clip_norm": 1.0, "accumulate_steps": 4},
    "clip of scaled, mixed parts": {"clip_norm": 1.0, "accumulate_steps": 4, "scaler": scaler, "mixing": Mixup},
}


def made(options):
    """The options with their parts made anew: a step names a scaler's parameters."""
    makers = {"scaler": scaler, "mixing": lambda: Mixup(CLASSES)}
    return {name: makers[name]() if name in makers else value for name, value in options.items()}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_step_goes_down_the_gradient_of_the_whole_batch(rng, options):
    start = rng.standard_normal((FEATURES, CLASSES)).astype(np.float32)
    settings = OptimizerSettings("sgd", momentum=0.0, weight_decay=0.0)
    step = step_of(Linear(start), settings, **made(options))
    weight, clipped = start.astype(np.float64), []
    for number, (images, labels) in enumerate(batches(rng, 0.1, 3.0, 1.0, 0.2, 2.0)):
        targets, pixels, mix = np.eye(CLASSES)[labels], images, UNMIXED
        if "mixing" in options:
            mix = np.float32([0.7, 0.7, 0, 0, 0, 0])
            targets, pixels = (0.7 * item + 0.3 * item[::-1] for item in (targets, images))
        expected, gradient = by_hand(weight, pixels, targets)
        length, rate = np.linalg.norm(gradient), RATES[min(number, len(RATES) - 1)]
        limit = options.get("clip_norm", np.inf)
        loss, norm, lr, updated = run(step, images, labels, mix=mix)
        assert updated is True
        assert loss == pytest.approx(expected, rel=1e-5)
        assert norm == pytest.approx(length, rel=1e-5), "the norm is that before clipping"
        assert lr == rate, "the last rate holds on"
        weight = weight - rate * gradient * min(1.0, limit / (length + 1e-6))
        np.testing.assert_allclose(step.network.weight.asnumpy(), weight, rtol=1e-5, atol=1e-6)
        clipped.append(length > 1.0)
    assert True in clipped and False in clipped
    assert step.optimizer.step.asnumpy() == 5


def adam(start, gradients, rates, betas=(0.9, 0.999), eps=1e-8):
    w, m, v = start.astype(np.float64), 0.0, 0.0
    for t, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        g = gradient(w)
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
        w = w - rate * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return w


def contents(step):
    names = ("accumulated.", "loss_scale.")
    return {item.name: item.asnumpy().copy() for item in step.get_parameters() if not item.name.startswith(names)}


@pytest.mark.parametrize("bad", [1e38, np.inf, np.nan])
@pytest.mark.parametrize("options", [{}, {"scaler": scaler, "accumulate_steps": 4}], ids=["plain", "scaled parts"])
def test_an_overflow_changes_nothing_and_the_run_goes_on(rng, options, bad):
    start = rng.standard_normal((FEATURES, CLASSES)).astype(np.float32)
    step = step_of(Linear(start), OptimizerSettings("adam"), **made(options))
    first, broken, second = batches(rng, 1, 1, 1)
    broken[0][5, 0, 0, 0] = bad
    rates = [run(step, *first)[2]]
    before = contents(step)

    loss, norm, rate, updated = run(step, *broken)
    assert updated is False
    assert not (np.isfinite(loss) and np.isfinite(norm))
    after = contents(step)
    assert before.keys() == after.keys() >= {"weight", "optimizer.step", "optimizer.exp_avg.weight"}
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)
    if "scaler" in options:
        assert step.loss_scale.asnumpy() == 2**15

    *_, next_rate, updated = run(step, *second)
    assert updated is True
    rates.append(next_rate)
    assert rate == next_rate, "the step that was skipped used up no rate"
    np.testing.assert_array_equal(rates, RATES[:2])
    gradients = [lambda w, b=b: by_hand(w, b[0], np.eye(CLASSES)[b[1]])[1] for b in (first, second)]
    np.testing.assert_allclose(step.network.weight.asnumpy(), adam(start, gradients, rates), rtol=1e-4, atol=1e-5)


def test_the_loss_scale_halves_at_each_overflow_and_doubles_after_a_window_without(rng):
    step = step_of(Linear(np.ones((FEATURES, CLASSES), np.float32)), OptimizerSettings(), scaler=scaler(window=3))
    (good, bad), scales = batches(rng, 1, 1), []
    bad[0][0] = np.nan
    for batch in (good, good, bad, good, good, good, good, bad, bad):
        run(step, *batch)
        scales.append(np.log2(step.loss_scale.asnumpy()).item())
    assert scales == [16, 16, 15, 15, 15, 16, 16, 15, 14]


TINY = {
    "image_size": 8,
    "patch_size": 4,
    "num_classes": CLASSES,
    "embed_dim": 16,
    "depth": 1,
    "num_heads": 2,
    "mlp_dim": 32,
}


def vit(**settings):
    """A tiny ViT whose weights are large enough for its gradients to be far from rounding."""
    rng, network = np.random.default_rng(5), ViT(ViTConfig(**TINY, **settings))
    for parameter in network.get_parameters():
        values = 0.3 * rng.standard_normal(parameter.shape) + parameter.name.endswith("gamma")
        parameter.set_data(Tensor(values.astype(np.float32)))
    return network


def weights_of(network):
    """The weights by name, without the keys' biases: they have no effect, so that Adam's steps in them are noise."""
    found = {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}
    return {
        name: np.delete(values, np.s_[16:32]) if name.endswith("qkv.bias") else values for name, values in found.items()
    }


@pytest.fixture(scope="module")
def whole_and_parts():
    """A step over a batch at once and one in four parts, with everything on, and what five batches made of each."""
    settings = OptimizerSettings(weight_decay=0.1, layer_decay=0.8)
    results = []
    for parts in (1, 4):
        rng, network = np.random.default_rng(6), vit(drop_path=0.4, drop_path_mode="constant", dropout=0.1)
        average = ExponentialMovingAverage(network, 0.5)
        rates = np.full(10, 0.01, np.float32)
        options = {"clip_norm": 0.5, "mixing": Mixup(CLASSES), "ema": average, "accumulate_steps": parts}
        step, rows = step_of(network, settings, rates, **options), []
        for images, labels in batches(rng, 1, 1, 1, 1, 1, size=8):
            keys, lam = rng.integers(-(2**31), 2**31, BATCH), rng.random()
            rows.append(run(step, images, labels, keys, np.float32([lam, lam, 0, 0, 0, 0])))
        results.append((step, rows, weights_of(network), average))
    return results


def test_parts_of_a_batch_make_the_same_steps_as_the_whole(whole_and_parts):
    (_, rows, weights, _), (_, of_parts, others, _) = whole_and_parts
    np.testing.assert_allclose(of_parts, rows, rtol=1e-5)
    assert any(norm > 0.5 for _, norm, _, _ in rows), "clipping acts"
    moved = weights_of(vit())
    for name, values in weights.items():
        np.testing.assert_allclose(others[name], values, atol=1e-5, err_msg=name)
        assert np.abs(values - moved[name]).max() > 1e-3


def test_what_is_counted_per_step_moves_once_for_all_parts(whole_and_parts):
    (whole, _, _, average), (parts, _, _, other) = whole_and_parts
    assert whole.optimizer.step.asnumpy() == parts.optimizer.step.asnumpy() == 5
    for name, values in weights_of(average.network).items():
        np.testing.assert_allclose(weights_of(other.network)[name], values, atol=1e-5, err_msg=name)


def test_the_masks_of_dropout_are_drawn_by_the_keys(rng):
    """At a rate of 0 the weights stay, so that steps on one batch differ by its keys alone."""
    step = step_of(vit(drop_path=0.4, drop_path_mode="constant"), OptimizerSettings("sgd"), np.zeros(1, np.float32))
    ((images, labels),) = batches(rng, 1, size=8)
    losses = [run(step, images, labels, keys)[0] for keys in (np.arange(8), np.arange(8), np.arange(8, 16))]
    assert losses[0] == losses[1]
    assert abs(losses[0] - losses[2]) > 1e-3


def test_the_steps_parameters_are_the_weights_and_one_state_of_each_kind():
    network = vit()
    weights = [parameter.name for parameter in network.get_parameters()]
    step = step_of(
        network, OptimizerSettings(), accumulate_steps=2, scaler=scaler(), ema=ExponentialMovingAverage(network, 0.9)
    )
    names = [parameter.name for parameter in step.get_parameters()]
    kinds = ("optimizer.exp_avg", "optimizer.exp_avg_sq", "ema", "accumulated")
    single = ["optimizer.step", "loss_scale.value", "loss_scale.steps", "accumulated.loss"]
    assert sorted(names) == sorted([*weights, *single, *(f"{kind}.{name}" for kind in kinds for name in weights)])
    assert [parameter.name for parameter in step.trainable_params() if parameter.name in weights] == weights


def test_a_teachers_logits_reach_the_loss_and_its_weights_stay_out_of_the_updates(rng):
    """A linear student of a linear teacher, by NumPy: of the mixed images, at half the pixels' scale."""
    start, taught = (rng.standard_normal((FEATURES, CLASSES)).astype(np.float32) for _ in range(2))
    network = Linear(start)
    parameters = network.trainable_params()
    settings = OptimizerSettings("sgd", momentum=0.0, weight_decay=0.0)
    optimizer = make_optimizer(settings, parameters, resolve_param_groups(parameters, make_rules(settings, depth=1)))
    teacher = Teacher(Unkeyed(taught), np.full(3, 0.5), np.zeros(3))
    loss = DistillationLoss(CrossEntropySmooth(CLASSES), "soft", 0.25, 2.0)
    options = {"teacher": teacher, "mixing": Mixup(CLASSES), "accumulate_steps": 2}
    step = TrainStep(network, loss, optimizer, RATES, **options).set_train()
    alive.append(step)
    ((images, labels),) = batches(rng, 1)
    found, norm, _, updated = run(step, images, labels, mix=np.float32([0.7, 0.7, 0, 0, 0, 0]))
    targets, pixels = (0.7 * item + 0.3 * item[::-1] for item in (np.eye(CLASSES)[labels], images))
    own, gradient = by_hand(start, pixels, targets)
    rows = pixels.reshape(BATCH, -1).astype(np.float64)
    wanted, given = softmax(rows @ taught / 4), softmax(rows @ start / 2)
    part = 4 * (wanted * np.log(wanted / given)).sum(1).mean()
    gradient = 0.75 * gradient + 0.25 * 2 * rows.T @ (given - wanted) / BATCH
    assert updated is True
    assert found == pytest.approx(0.75 * own + 0.25 * part, rel=1e-5)
    assert norm == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
    np.testing.assert_allclose(network.weight.asnumpy(), start - RATES[0] * gradient, atol=1e-5)
    np.testing.assert_array_equal(teacher.network.weight.asnumpy(), taught)


def test_a_plain_step_carries_nothing_it_does_not_need():
    step = step_of(Linear(np.ones((FEATURES, CLASSES), np.float32)), OptimizerSettings("sgd"))
    assert {item.name for item in step.get_parameters()} == {"weight", "optimizer.momentum.weight", "optimizer.step"}
