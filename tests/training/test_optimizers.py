import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindvit import create_model
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.optimizers import Lamb, make_optimizer
from mindvit.training.param_groups import ParamOptions, make_rules, resolve_param_groups

pytestmark = pytest.mark.eager

NAMES = ("adamw", "adam", "sgd", "lamb")
RATES = (0.1, 0.01, 0.02, 0.02, 0.05)
OPTIONS = [
    ParamOptions("a.weight", lr_scale=1.0, weight_decay=0.5),
    ParamOptions("b.weight", lr_scale=0.25, weight_decay=0.2),
    ParamOptions("zero.weight", lr_scale=1.0, weight_decay=0.5),
    ParamOptions("a.bias", lr_scale=3.0, weight_decay=0.0),
]
SHAPES = [(4, 5), (3, 2, 2), (2, 3), (4,)]


def parameters_of(values, options=OPTIONS):
    return [Parameter(Tensor(np.float32(value)), name=item.name) for value, item in zip(values, options, strict=True)]


def tensors(values):
    return tuple(Tensor(value) for value in values)


def rate(value):
    return Tensor(value, ms.float32)


@pytest.fixture
def start(rng):
    values = [rng.standard_normal(shape).astype(np.float32) for shape in SHAPES]
    values[2][:] = 0
    return values


@pytest.fixture
def gradients(rng):
    """The gradients of every step."""
    return [[rng.standard_normal(shape).astype(np.float32) for shape in SHAPES] for _ in RATES]


def by_formula(settings, start, gradients, decays, scales):
    """The weights after all steps, in float64, by the formulas of the papers."""
    beta1, beta2 = settings.betas
    results = []
    for index, value in enumerate(start):
        w, decay, scale = value.astype(np.float64), decays[index], scales[index]
        m = v = b = np.zeros_like(w)
        for t, lr in enumerate(RATES, 1):
            g, lr = gradients[t - 1][index].astype(np.float64), lr * scale
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            direction = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + settings.eps)
            if settings.name in ("adam", "adamw"):
                w = w - lr * decay * w - lr * direction
            elif settings.name == "sgd":
                b = settings.momentum * b + g + decay * w
                w = w - lr * b
            else:
                u = direction + decay * w
                norms = np.linalg.norm(w), np.linalg.norm(u)
                w = w - lr * u * (norms[0] / norms[1] if decay and all(norms) else 1.0)
        results.append(w)
    return results


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        OptimizerSettings("adamw"),
        OptimizerSettings("adamw", betas=(0.8, 0.95), eps=0.1),
        OptimizerSettings("sgd"),
        OptimizerSettings("sgd", momentum=0.0),
        OptimizerSettings("lamb"),
        OptimizerSettings("lamb", betas=(0.8, 0.95), eps=0.1),
    ],
    ids=lambda item: f"{item.name}-{item.betas[0]}-{item.momentum}",
)
def test_updates_follow_the_formula_with_the_learning_rate_and_decay_of_each_weight(settings, start, gradients):
    parameters = parameters_of(start)
    optimizer = make_optimizer(settings, parameters, OPTIONS)
    for lr, gradient in zip(RATES, gradients, strict=True):
        optimizer(tensors(gradient), rate(lr))
    decays, scales = zip(*((item.weight_decay, item.lr_scale) for item in OPTIONS), strict=True)
    expected = by_formula(settings, start, gradients, decays, scales)
    for parameter, values in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(parameter.asnumpy(), values, atol=2e-6, rtol=1e-6)


@pytest.mark.slow
def test_adam_is_adamw_without_weight_decay(start, gradients):
    parameters = parameters_of(start)
    settings = OptimizerSettings("adam", weight_decay=0.5)
    optimizer = make_optimizer(settings, parameters, resolve_param_groups(parameters, make_rules(settings, depth=1)))
    for lr, gradient in zip(RATES, gradients, strict=True):
        optimizer(tensors(gradient), rate(lr))
    expected = by_formula(settings, start, gradients, decays=[0.0] * 4, scales=[1.0] * 4)
    for parameter, values in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(parameter.asnumpy(), values, atol=2e-6, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 10, 1000, 100_000])
def test_the_bias_correction_is_accurate(step):
    parameters = parameters_of([np.zeros(3)], OPTIONS[:1])
    optimizer = make_optimizer(OptimizerSettings("adam"), parameters, [ParamOptions("a.weight")])
    optimizer.step.set_data(Tensor(step - 1, ms.int32))
    optimizer((Tensor(np.float32([1, -2, 3])),), rate(1.0))
    beta1, beta2 = (float(np.float32(beta)) for beta in (0.9, 0.999))
    expected = -(1 - beta1) / (1 - beta1**step) / np.sqrt((1 - beta2) / (1 - beta2**step))
    np.testing.assert_allclose(parameters[0].asnumpy(), expected * np.array([1, -1, 1]), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_weight_of_zero_without_gradient_does_not_change(name):
    parameters = parameters_of([np.zeros((2, 2))], OPTIONS[:1])
    make_optimizer(OptimizerSettings(name), parameters, OPTIONS)(tensors([np.zeros((2, 2), np.float32)]), rate(0.1))
    np.testing.assert_array_equal(parameters[0].asnumpy(), 0)


class TrustRatio(nn.Cell):
    def __init__(self):
        super().__init__()
        self.lamb = Lamb(parameters_of([np.zeros(2)], OPTIONS[:1]), [1.0], [0.5])

    def construct(self, weight, change):
        return self.lamb.update_weight.trust_ratio(weight, change)


@pytest.mark.parametrize(
    ("weight", "change", "ratio"), [((3, 4), (0, 2), 2.5), ((0, 0), (0, 2), 1.0), ((3, 4), (0, 0), 1.0)]
)
def test_the_trust_ratio_is_the_ratio_of_the_norms_unless_one_is_zero(weight, change, ratio):
    assert TrustRatio()(*tensors(map(np.float32, (weight, change)))).asnumpy() == pytest.approx(ratio)


class Product(nn.Cell):
    """A product of two matrices: the gradient of each depends on the other."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def construct(self, x):
        return (ops.matmul(ops.matmul(x, self.first), self.second) ** 2).sum() / 2


class Step(nn.Cell):
    def __init__(self, network, optimizer):
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer
        self.value_and_grad = ops.value_and_grad(network, None, optimizer.parameters)

    def construct(self, x, lr):
        loss, gradients = self.value_and_grad(x)
        self.optimizer(gradients, lr)
        return loss


@pytest.mark.graph
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_in_one_graph_with_the_gradients_the_weights_change_after_the_gradients_are_computed(rng, name):
    options = [ParamOptions("first", weight_decay=0.9), ParamOptions("second", weight_decay=0.9)]
    start = [rng.standard_normal((4, 4)).astype(np.float32) for _ in options]
    joint, separate = parameters_of(start, options), parameters_of(start, options)
    step = Step(Product(*joint), make_optimizer(OptimizerSettings(name), joint, options))
    optimizer = make_optimizer(OptimizerSettings(name), separate, options)
    for lr in (0.1, 0.02, 0.05):
        x = rng.standard_normal((3, 4)).astype(np.float32)
        first, second = (parameter.asnumpy() for parameter in separate)
        out = x @ first @ second
        gradients = [x.T @ (out @ second.T), (x @ first).T @ out]
        optimizer(tensors(gradients), rate(lr))
        assert step(Tensor(x), rate(lr)).asnumpy() == pytest.approx((out**2).sum() / 2, rel=1e-4)
        for parameter, reference in zip(joint, separate, strict=True):
            np.testing.assert_allclose(parameter.asnumpy(), reference.asnumpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_optimizer_resumes_from_the_states_of_another(start, gradients, name):
    whole, resumed = parameters_of(start), parameters_of(start)
    first, second = (make_optimizer(OptimizerSettings(name), parameters, OPTIONS) for parameters in (whole, resumed))
    for lr, gradient in zip(RATES[:3], gradients[:3], strict=True):
        first(tensors(gradient), rate(lr))
    state = {parameter.name: parameter for parameter in first.get_parameters()}
    for parameter in second.get_parameters():
        parameter.set_data(Tensor(state[parameter.name].asnumpy()))
    for optimizer in (first, second):
        for lr, gradient in zip(RATES[3:], gradients[3:], strict=True):
            updates = optimizer(tensors(gradient), rate(lr))
    assert updates.asnumpy() == second.step.asnumpy() == 5
    for parameter, reference in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(parameter.asnumpy(), reference.asnumpy())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_full_states_are_loaded_into_another_optimizer(start, gradients, name):
    first, second = (make_optimizer(OptimizerSettings(name), parameters_of(start), OPTIONS) for _ in range(2))
    first(tensors(gradients[0]), rate(0.1))
    states = {name: state.asnumpy().copy() for name, state in first.full_state().items()}
    assert first.full_state_shapes() == {name: state.shape for name, state in states.items()}
    second.load_full_state(states)
    for name, state in second.full_state().items():
        np.testing.assert_array_equal(state.asnumpy(), states[name], err_msg=name)
    assert second.step.asnumpy() == 1


@pytest.mark.parametrize(
    ("name", "slots"),
    [("adamw", ("exp_avg", "exp_avg_sq")), ("lamb", ("exp_avg", "exp_avg_sq")), ("sgd", ("momentum",))],
)
def test_optimizer_states_are_named_after_the_weights(name, slots):
    network = create_model("vit_mini_4_32", depth=1)
    settings = OptimizerSettings(name)
    parameters = network.trainable_params()
    weights = [parameter.name for parameter in parameters]
    optimizer = make_optimizer(settings, parameters, resolve_param_groups(parameters, make_rules(settings, depth=1)))
    step = Step(network, optimizer)
    names = [parameter.name for parameter in step.get_parameters() if parameter.name not in weights]
    assert sorted(names) == sorted(
        ["optimizer.step", *(f"optimizer.{slot}.{weight}" for slot in slots for weight in weights)]
    )
    assert optimizer.step.dtype == ms.int32
    assert [parameter.name for parameter in step.trainable_params()] == weights


def test_the_learning_rate_scales_with_the_images_per_step():
    assert OptimizerSettings(lr=0.1, lr_base_batch_size=256).peak_lr(1024) == pytest.approx(0.4)
    assert OptimizerSettings(lr=0.1).peak_lr(1024) == 0.1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr": 0}, "optimizer.lr must be above 0, not 0"),
        ({"eps": -1.0}, "optimizer.eps must be above 0, not -1.0"),
        ({"lr_base_batch_size": 0}, "optimizer.lr_base_batch_size must be above 0, not 0"),
        ({"clip_norm": 0.0}, "optimizer.clip_norm must be above 0, not 0.0"),
        ({"betas": (0.9, 1.0)}, r"optimizer.betas must lie between 0 and 1, not \[0.9, 1.0\]"),
        ({"momentum": 1.0}, r"optimizer.momentum must lie in \[0, 1\), not 1.0"),
        ({"weight_decay": -0.1}, "optimizer.weight_decay must not be negative, not -0.1"),
        ({"layer_decay": 1.5}, "optimizer.layer_decay must be above 0 and at most 1, not 1.5"),
        ({"layer_decay": 0.0}, "optimizer.layer_decay must be above 0 and at most 1, not 0.0"),
    ],
)
def test_a_setting_out_of_range_is_an_error(settings, words):
    with pytest.raises(ValueError, match=words):
        OptimizerSettings(**settings)


def test_the_trust_ratio_of_a_large_tensor_is_accurate(rng):
    """Sums of millions of squares: an inaccurate sum is off by a thousandth here."""
    values = rng.standard_normal((2, 1024, 3072)).astype(np.float32)
    values[1, :, 1:] = 0  # Otherwise the errors of the two sums would cancel.
    parameter = Parameter(Tensor(values[0]), name="a.weight")
    optimizer = Lamb([parameter], [1.0], [0.1])
    expected = np.linalg.norm(values[0].astype(np.float64)) / np.linalg.norm(values[1].astype(np.float64))
    ratio = optimizer.update_weight.trust_ratio(Tensor(values[0]), Tensor(values[1])).asnumpy()
    assert ratio == pytest.approx(expected, rel=1e-6)
