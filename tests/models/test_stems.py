"""The stems, compared with those of timm, whose results are in tests/references/stems.npz."""

import json
from functools import cache

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, amp, nn

from mindvit.losses import CrossEntropySmooth
from mindvit.models.efficientnet import EfficientNetStem, MBConv, Swish
from mindvit.models.resnet import GroupNorm, ResNetStem
from mindvit.models.stems import STEMS, make_stem, stem_channels, stem_stride
from mindvit.ops.convolution import Convolve, StandardizedConvolution
from mindvit.training.optimizers import OptimizerSettings, make_optimizer
from mindvit.training.param_groups import make_rules, resolve_param_groups
from mindvit.training.step import TrainStep
from tests.references.make_stem_references import RESNET, TARGET, direction, image, weight

pytestmark = pytest.mark.eager

REFERENCE = np.load(TARGET)
COUNTS = json.loads(REFERENCE["counts"].item())
BLOCKS = {"block1.1": (24, 24, 6, 3, 1), "block2.0": (24, 40, 6, 5, 2)}


@cache
def made(name):
    """A stem with its initial weights, which take a second or two, as ``make_stem`` makes it."""
    return make_stem(name)


def with_reference_weights(net, cell):
    """The cell with the weights of the reference, which must cover all its parameters."""
    parameters = list(cell.get_parameters())
    assert sorted(parameter.name for parameter in parameters) == list(REFERENCE[f"{net}/names"])
    for parameter in parameters:
        parameter.set_data(Tensor(weight(net, parameter.name, parameter.shape)))
    return cell


class Gradient(nn.Cell):
    """Output, and gradients of sum(cell(x) * cotangent) by the input and by the weights."""

    def __init__(self, cell):
        super().__init__(auto_prefix=False)
        self.cell = cell
        self.weights = ms.ParameterTuple(cell.trainable_params())
        self.gradient = ms.value_and_grad(self.weighted, 0, self.weights, has_aux=True)

    def weighted(self, x, cotangent):
        output = self.cell(x)
        return (output * cotangent).sum(), output

    def construct(self, x, cotangent):
        return self.gradient(x, cotangent)


def check_gradients(net, cell):
    """Compares output and gradients with the reference; the error of a gradient is relative to its norm."""
    cotangent = image(net, REFERENCE[f"{net}/output"].shape)
    (_, output), (of_input, of_weights) = Gradient(cell)(Tensor(image(net)), Tensor(cotangent))
    expected = REFERENCE[f"{net}/gradient/input"]
    np.testing.assert_allclose(of_input.asnumpy() / expected.std(), expected / expected.std(), atol=1e-3)
    for parameter, gradient in zip(cell.trainable_params(), of_weights, strict=True):
        along = direction(parameter.name, parameter.shape)
        expected = REFERENCE[f"{net}/gradient/{parameter.name}"]
        gradient = gradient.asnumpy().astype(np.float64)
        norm = np.linalg.norm(gradient) + 1e-3
        assert (gradient * along).sum() / norm == pytest.approx(expected / norm, abs=2e-3), parameter.name
    np.testing.assert_allclose(output.asnumpy(), REFERENCE[f"{net}/output"], atol=2e-4)


@pytest.mark.graph
@pytest.mark.slow
def test_the_resnet_and_its_gradients_match_timm():
    check_gradients("resnet", with_reference_weights("resnet", ResNetStem(**RESNET)).set_train())


@pytest.mark.slow
def test_the_efficientnet_matches_timm_in_evaluation():
    cell = with_reference_weights("efficientnet", EfficientNetStem()).set_train(False)
    output = cell(Tensor(image("efficientnet"))).asnumpy()
    spread = REFERENCE["efficientnet/output"].std()
    np.testing.assert_allclose(output / spread, REFERENCE["efficientnet/output"] / spread, atol=1e-4)


@pytest.mark.parametrize("net", BLOCKS)
def test_a_block_in_training_matches_timm_in_gradients_and_statistics(net):
    cell = with_reference_weights(net, MBConv(*BLOCKS[net])).set_train()
    check_gradients(net, cell)
    statistics = [parameter for parameter in cell.get_parameters() if "moving" in parameter.name]
    assert len(statistics) == 6
    for parameter in statistics:
        expected = REFERENCE[f"{net}/statistics/{parameter.name}"]
        np.testing.assert_allclose(parameter.asnumpy(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize(
    ("kernel", "stride", "depthwise"), [(3, 1, False), (7, 2, False), (1, 2, False), (3, 2, True), (5, 1, True)]
)
def test_the_convolution_by_matrix_products_equals_the_stock_operator(rng, kernel, stride, depthwise, padding):
    channels, out_channels = 4, 4 if depthwise else 6
    cell = Convolve(channels, out_channels, kernel, stride, depthwise, padding)
    assert not cell.uses_stock_operator, "on CPU the stock operator takes tens of times as long"
    x = Tensor(rng.standard_normal((2, channels, 8, 12)).astype(np.float32))
    kernels = rng.standard_normal((out_channels, 1 if depthwise else channels, kernel, kernel))
    kernels = Tensor(kernels.astype(np.float32))
    output = cell(x, kernels).asnumpy()
    stock = Convolve(channels, out_channels, kernel, stride, depthwise, padding)
    stock.uses_stock_operator = True
    assert output.shape == (2, out_channels, 8 // stride, 12 // stride)
    np.testing.assert_allclose(output, stock(x, kernels).asnumpy(), atol=1e-4)


def test_other_devices_use_the_stock_convolution(monkeypatch):
    monkeypatch.setattr(ms, "get_context", lambda name: {"device_target": "Ascend"}[name])
    assert Convolve(4, 4, 3).uses_stock_operator


def test_the_explicit_gradient_of_swish_is_correct(rng):
    x = rng.standard_normal(50) * 3
    gradient = ms.grad(Swish())(Tensor(x.astype(np.float32))).asnumpy()
    step = 1e-5
    expected = ((x + step) / (1 + np.exp(-x - step)) - (x - step) / (1 + np.exp(-x + step))) / (2 * step)
    np.testing.assert_allclose(gradient, expected, atol=1e-4)


class Classifier(nn.Cell):
    """A block with global average pooling; it takes the rng_key of a training batch."""

    def __init__(self):
        super().__init__()
        self.block = MBConv(4, 4, 1, 3, 1)

    def construct(self, images, rng_key):
        return self.block(images).mean((2, 3))


@pytest.mark.graph
@pytest.mark.slow
def test_each_micro_batch_updates_the_statistics_that_evaluation_uses(rng):
    network = Classifier()
    parameters = network.trainable_params()
    optimizer = make_optimizer(
        OptimizerSettings(name="sgd"),
        parameters,
        resolve_param_groups(parameters, make_rules(OptimizerSettings(), depth=1)),
    )
    step = TrainStep(network, CrossEntropySmooth(4), optimizer, np.zeros(1, np.float32), accumulate_steps=2)
    images = rng.standard_normal((8, 4, 6, 6)).astype(np.float32) + 1
    features = network.block.depthwise(Tensor(images)).asnumpy().astype(np.float64)
    network.set_train(False)
    rng_keys = Tensor(np.arange(8), ms.int32)
    before = network(Tensor(images), rng_keys).asnumpy()
    step.set_train()(
        Tensor(images), Tensor(np.arange(8) % 4, ms.int32), rng_keys, Tensor(np.float32([1, 1, 0, 0, 0, 0]))
    )
    mean, variance = np.zeros(4), np.ones(4)
    for micro_batch in (features[:4], features[4:]):
        mean = 0.9 * mean + 0.1 * micro_batch.mean((0, 2, 3))
        variance = 0.9 * variance + 0.1 * micro_batch.var((0, 2, 3), ddof=1)
    norm = network.block.depthwise_norm
    np.testing.assert_allclose(norm.moving_mean.asnumpy(), mean, atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance.asnumpy(), variance, atol=1e-5)
    after = network.set_train(False)(Tensor(images), rng_keys).asnumpy()
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_array_equal(after, network(Tensor(images), rng_keys).asnumpy())


@pytest.mark.slow
@pytest.mark.graph  # Operator by operator, MindSpore's O2 casts also what a cell casts to float32.
def test_norms_and_weight_standardization_are_in_float32_at_o2(rng):
    """The squares of weights of 3e-4 underflow in float16, and those of features of 300 overflow."""
    convolution = StandardizedConvolution(32, 64, 3)
    convolution.weight.set_data(Tensor((3e-4 * rng.standard_normal(convolution.weight.shape)).astype(np.float32)))
    x = rng.standard_normal((2, 32, 8, 8)).astype(np.float32)
    wide = convolution(Tensor(x)).asnumpy()
    narrow = amp.auto_mixed_precision(nn.SequentialCell(convolution), "O2")(Tensor(x)).asnumpy()
    np.testing.assert_allclose(narrow / wide.std(), wide / wide.std(), atol=1e-2)
    norm = GroupNorm(32)
    wide = norm(Tensor(300 * x)).asnumpy()
    narrow = amp.auto_mixed_precision(nn.SequentialCell(norm), "O2")(Tensor(300 * x)).asnumpy()
    np.testing.assert_allclose(narrow, wide, atol=1e-2)
    network = amp.auto_mixed_precision(ResNetStem(layers=(1,), width=32), "O2")
    assert np.isfinite(network(Tensor(rng.standard_normal((1, 3, 16, 16)).astype(np.float32))).asnumpy()).all()


def test_weights_are_initialized_as_in_the_papers_and_units_as_their_shortcut():
    resnet, efficientnet = made("r26"), made("efficientnet_b0")
    root, depthwise = resnet.root.conv.weight.asnumpy(), efficientnet.stages[5][1].depthwise.weight.asnumpy()
    assert root.std() == pytest.approx((1 / (3 * 49)) ** 0.5, rel=0.05)
    assert depthwise.std() == pytest.approx((2 / 25) ** 0.5, rel=0.05)
    expand = efficientnet.stages[5][1].expand.weight.asnumpy()
    assert expand.std() == pytest.approx((2 / expand.shape[0]) ** 0.5, rel=0.05)
    assert not resnet.stages[1][0].norm3.gamma.asnumpy().any()
    assert resnet.stages[1][0].norm2.gamma.asnumpy().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", STEMS)
def test_a_stem_has_the_parameters_stride_and_channels_of_its_name(name):
    stem = made(name)
    assert sum(parameter.size for parameter in stem.trainable_params()) == COUNTS[name]["parameters"]
    assert (stem.stride, stem.out_channels) == (stem_stride(name), stem_channels(name))


@pytest.mark.parametrize("function", [make_stem, stem_stride, stem_channels])
def test_an_unknown_stem_is_an_error_that_lists_the_stems(function):
    with pytest.raises(ValueError, match="stem must be one of r26, r50, r50_s16, efficientnet_b0, not 'r51'"):
        function("r51")


@pytest.mark.graph
@pytest.mark.slow
def test_an_exported_stem_gives_the_same_features(tmp_path, rng):
    x = Tensor(rng.standard_normal((1, 3, 16, 32)).astype(np.float32))
    stem = ResNetStem(layers=(1,), width=32).set_train(False)
    ms.export(stem, x, file_name=str(tmp_path / "stem"), file_format="MINDIR")
    loaded = nn.GraphCell(ms.load(str(tmp_path / "stem.mindir")))
    np.testing.assert_allclose(loaded(x).asnumpy(), stem(x).asnumpy(), atol=1e-5)
