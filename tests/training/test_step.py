"""The training step: outputs and new weights, compared with NumPy's arithmetic on a linear classifier."""

import numpy as np
import pytest
from mindspore import Parameter, Tensor, amp, nn, ops

from mindvit.losses import CrossEntropySmooth
from mindvit.training.distillation import DistillationLoss, Teacher
from mindvit.training.ema import ExponentialMovingAverage
from mindvit.training.mixup import Mixup
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.optimizers import make_optimizer
from mindvit.training.param_groups import make_rules, resolve_param_groups
from mindvit.training.step import TrainStep
from tests.numpy_vit import softmax
from tests.training.builders import NO_MIX, keep_alive, random_vit, run_step, values_of

pytestmark = pytest.mark.eager

BATCH, CLASSES, FEATURES = 8, 3, 12
RATES = np.array([0.5, 0.25, 0.1, 0.05], np.float32)


class Linear(nn.Cell):
    def __init__(self, weight):
        super().__init__(auto_prefix=False)
        self.weight = Parameter(Tensor(weight), name="weight")

    def construct(self, images, rng_keys):
        return ops.matmul(images.reshape(images.shape[0], -1), self.weight)


class LinearTeacher(Linear):
    def construct(self, images):
        return ops.matmul(images.reshape(images.shape[0], -1), self.weight)


def step_of(network, settings, rates=RATES, loss=None, **options):
    parameters = network.trainable_params()
    optimizer = make_optimizer(settings, parameters, resolve_param_groups(parameters, make_rules(settings, depth=1)))
    loss = CrossEntropySmooth(CLASSES) if loss is None else loss
    return keep_alive(TrainStep(network, loss, optimizer, rates, **options).set_train())


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
    "micro-batches": {"accumulate_steps": 4},
    "scaler": {"scaler": scaler},
    "clipped, scaled, mixed micro-batches": {
        "clip_norm": 1.0,
        "accumulate_steps": 4,
        "scaler": scaler,
        "mixup": Mixup,
    },
}


def made(options):
    """The options with new objects for each test: a step renames the parameters of its scaler."""
    makers = {"scaler": scaler, "mixup": lambda: Mixup(CLASSES)}
    return {name: makers[name]() if name in makers else value for name, value in options.items()}


@pytest.mark.graph
@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_step_follows_the_gradient_of_the_whole_batch(rng, options):
    start = rng.standard_normal((FEATURES, CLASSES)).astype(np.float32)
    settings = OptimizerSettings("sgd", momentum=0.0, weight_decay=0.0)
    step = step_of(Linear(start), settings, **made(options))
    weight, clipped = start.astype(np.float64), []
    for number, (images, labels) in enumerate(batches(rng, 0.1, 3.0, 1.0, 0.2, 2.0)):
        targets, pixels, mix = np.eye(CLASSES)[labels], images, NO_MIX
        if "mixup" in options:
            mix = np.float32([0.7, 0.7, 0, 0, 0, 0])
            targets, pixels = (0.7 * item + 0.3 * item[::-1] for item in (targets, images))
        expected, gradient = by_hand(weight, pixels, targets)
        length, rate = np.linalg.norm(gradient), RATES[min(number, len(RATES) - 1)]
        limit = options.get("clip_norm", np.inf)
        loss, norm, lr, updated = run_step(step, images, labels, mix=mix)
        assert updated is True
        assert loss == pytest.approx(expected, rel=1e-5)
        assert norm == pytest.approx(length, rel=1e-5), "the norm before clipping"
        assert lr == rate, "steps after the last rate use the last rate"
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


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"scaler": scaler, "accumulate_steps": 4}], ids=["plain", "scaled"])
def test_an_overflow_changes_nothing_and_the_next_step_is_normal(rng, options):
    start = rng.standard_normal((FEATURES, CLASSES)).astype(np.float32)
    step = step_of(Linear(start), OptimizerSettings("adam"), **made(options))
    first, overflowing, second = batches(rng, 1, 1, 1)
    rates = [run_step(step, *first)[2]]
    before = contents(step)

    for number, bad in enumerate((1e38, np.inf, np.nan), 1):
        overflowing[0][5, 0, 0, 0] = bad
        loss, norm, rate, updated = run_step(step, *overflowing)
        assert updated is False
        assert not (np.isfinite(loss) and np.isfinite(norm))
        after = contents(step)
        assert before.keys() == after.keys() >= {"weight", "optimizer.step", "optimizer.exp_avg.weight"}
        for name, values in before.items():
            np.testing.assert_array_equal(after[name], values, err_msg=name)
        if "scaler" in options:
            assert step.loss_scale.asnumpy() == 2 ** (16 - number)

    *_, next_rate, updated = run_step(step, *second)
    assert updated is True
    rates.append(next_rate)
    assert rate == next_rate, "a skipped step takes no learning rate from the schedule"
    np.testing.assert_array_equal(rates, RATES[:2])
    gradients = [lambda w, b=b: by_hand(w, b[0], np.eye(CLASSES)[b[1]])[1] for b in (first, second)]
    np.testing.assert_allclose(step.network.weight.asnumpy(), adam(start, gradients, rates), rtol=1e-4, atol=1e-5)


def test_the_loss_scale_halves_at_each_overflow_and_doubles_after_a_window_without_overflow(rng):
    step = step_of(Linear(np.ones((FEATURES, CLASSES), np.float32)), OptimizerSettings(), scaler=scaler(window=3))
    (good, bad), scales = batches(rng, 1, 1), []
    bad[0][0] = np.nan
    for batch in (good, good, bad, good, good, good, good, bad, bad):
        run_step(step, *batch)
        scales.append(np.log2(step.loss_scale.asnumpy()).item())
    assert scales == [16, 16, 15, 15, 15, 16, 16, 15, 14]


def weights_of(network):
    """The weights by name, without the biases of the keys. They have no effect, so Adam's steps in them are noise."""
    return {
        name: np.delete(values, np.s_[16:32]) if name.endswith("qkv.bias") else values
        for name, values in values_of(network).items()
    }


@pytest.fixture(scope="module")
def whole_and_accumulated():
    """For a whole batch and for four micro-batches: the step, its outputs, the weights and the EMA after five steps."""
    settings = OptimizerSettings(weight_decay=0.1, layer_decay=0.8)
    results = []
    for micro_batches in (1, 4):
        rng = np.random.default_rng(6)
        network = random_vit(scale=0.3, drop_path=0.4, drop_path_mode="constant", dropout=0.1)
        ema = ExponentialMovingAverage(network, 0.5)
        rates = np.full(10, 0.01, np.float32)
        options = {"clip_norm": 0.5, "mixup": Mixup(CLASSES), "ema": ema, "accumulate_steps": micro_batches}
        step, rows = step_of(network, settings, rates, **options), []
        for images, labels in batches(rng, 1, 1, 1, 1, 1, size=8):
            rng_keys, lam = rng.integers(-(2**31), 2**31, BATCH), rng.random()
            rows.append(run_step(step, images, labels, rng_keys, np.float32([lam, lam, 0, 0, 0, 0])))
        results.append((step, rows, weights_of(network), ema))
    return results


@pytest.mark.graph
@pytest.mark.slow
def test_micro_batches_give_the_same_steps_as_the_whole_batch(whole_and_accumulated):
    (_, rows, weights, _), (_, accumulated_rows, accumulated_weights, _) = whole_and_accumulated
    np.testing.assert_allclose(accumulated_rows, rows, rtol=1e-5)
    assert any(norm > 0.5 for _, norm, _, _ in rows), "clipping has an effect"
    start = weights_of(random_vit(scale=0.3))
    for name, values in weights.items():
        np.testing.assert_allclose(accumulated_weights[name], values, atol=1e-5, err_msg=name)
        assert np.abs(values - start[name]).max() > 1e-3


def test_step_count_and_ema_advance_once_for_all_micro_batches(whole_and_accumulated):
    (whole, _, _, ema), (accumulated, _, _, accumulated_ema) = whole_and_accumulated
    assert whole.optimizer.step.asnumpy() == accumulated.optimizer.step.asnumpy() == 5
    for name, values in weights_of(ema.network).items():
        np.testing.assert_allclose(weights_of(accumulated_ema.network)[name], values, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_dropout_masks_are_a_function_of_the_rng_keys(rng):
    """With a learning rate of 0 the weights stay, so steps on one batch differ only in their keys."""
    network = random_vit(scale=0.3, drop_path=0.4, drop_path_mode="constant")
    step = step_of(network, OptimizerSettings("sgd"), np.zeros(1, np.float32))
    ((images, labels),) = batches(rng, 1, size=8)
    losses = [run_step(step, images, labels, keys)[0] for keys in (np.arange(8), np.arange(8), np.arange(8, 16))]
    assert losses[0] == losses[1]
    assert abs(losses[0] - losses[2]) > 1e-3


def test_the_parameters_of_a_step_are_the_weights_and_one_state_of_each_kind():
    network = random_vit()
    weights = [parameter.name for parameter in network.get_parameters()]
    step = step_of(
        network, OptimizerSettings(), accumulate_steps=2, scaler=scaler(), ema=ExponentialMovingAverage(network, 0.9)
    )
    names = [parameter.name for parameter in step.get_parameters()]
    kinds = ("optimizer.exp_avg", "optimizer.exp_avg_sq", "ema", "accumulated")
    single = ["optimizer.step", "loss_scale.value", "loss_scale.steps", "accumulated.loss"]
    assert sorted(names) == sorted([*weights, *single, *(f"{kind}.{name}" for kind in kinds for name in weights)])
    assert [parameter.name for parameter in step.trainable_params() if parameter.name in weights] == weights


def test_the_logits_of_a_teacher_reach_the_loss_and_its_weights_are_not_updated(rng):
    """A linear student of a linear teacher, in NumPy: of the mixed images, at half the scale of the pixels."""
    start, teacher_weight = (rng.standard_normal((FEATURES, CLASSES)).astype(np.float32) for _ in range(2))
    network = Linear(start)
    settings = OptimizerSettings("sgd", momentum=0.0, weight_decay=0.0)
    teacher = Teacher(LinearTeacher(teacher_weight), np.full(3, 0.5), np.zeros(3))
    loss = DistillationLoss(CrossEntropySmooth(CLASSES), "soft", 0.25, 2.0)
    step = step_of(network, settings, loss=loss, teacher=teacher, mixup=Mixup(CLASSES), accumulate_steps=2)
    ((images, labels),) = batches(rng, 1)
    found, norm, _, updated = run_step(step, images, labels, mix=np.float32([0.7, 0.7, 0, 0, 0, 0]))
    targets, pixels = (0.7 * item + 0.3 * item[::-1] for item in (np.eye(CLASSES)[labels], images))
    own, gradient = by_hand(start, pixels, targets)
    rows = pixels.reshape(BATCH, -1).astype(np.float64)
    expected, given = softmax(rows @ teacher_weight / 4), softmax(rows @ start / 2)
    distillation = 4 * (expected * np.log(expected / given)).sum(1).mean()
    gradient = 0.75 * gradient + 0.25 * 2 * rows.T @ (given - expected) / BATCH
    assert updated is True
    assert found == pytest.approx(0.75 * own + 0.25 * distillation, rel=1e-5)
    assert norm == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
    np.testing.assert_allclose(network.weight.asnumpy(), start - RATES[0] * gradient, atol=1e-5)
    np.testing.assert_array_equal(teacher.network.weight.asnumpy(), teacher_weight)


def test_a_plain_step_has_no_unused_parameters():
    step = step_of(Linear(np.ones((FEATURES, CLASSES), np.float32)), OptimizerSettings("sgd"))
    assert {item.name for item in step.get_parameters()} == {"weight", "optimizer.momentum.weight", "optimizer.step"}
