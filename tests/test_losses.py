import json
from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.losses import (
    BinaryCrossEntropySmooth,
    CrossEntropySmooth,
    LossSettings,
    make_loss,
    resolve_class_weights,
)
from mindvit.parsing import parse
from mindvit.training.recipe import Recipe
from tests.conftest import ROOT
from tests.numpy_vit import softmax

pytestmark = pytest.mark.eager


def smoothed(labels, num_classes, smoothing):
    """The targets of the ViT tutorial: 1 - s for the true class, s / (C - 1) for the others."""
    targets = np.full((len(labels), num_classes), smoothing / (num_classes - 1))
    targets[np.arange(len(labels)), labels] = 1 - smoothing
    return targets


def cross_entropy(logits, targets):
    return -(targets * np.log(softmax(logits.astype(np.float64)))).sum(1)


def binary_cross_entropy(logits, targets):
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return -(targets * np.log(probability) + (1 - targets) * np.log(1 - probability)).mean(1)


@pytest.mark.slow
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_integer_labels_follow_the_formula(rng, smoothing, reduction):
    logits = rng.standard_normal((6, 5)).astype(np.float32)
    labels = rng.integers(0, 5, 6).astype(np.int32)
    loss = CrossEntropySmooth(5, smoothing, reduction)(ms.Tensor(logits), ms.Tensor(labels)).asnumpy()
    expected = cross_entropy(logits, smoothed(labels, 5, smoothing))
    expected = {"mean": expected.mean(), "sum": expected.sum(), "none": expected}[reduction]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_one_hot_targets_equal_integer_labels(rng):
    logits = ms.Tensor(rng.standard_normal((6, 5)).astype(np.float32))
    labels = rng.integers(0, 5, 6).astype(np.int32)
    loss = CrossEntropySmooth(5, 0.2)
    dense = loss(logits, ms.Tensor(np.eye(5, dtype=np.float32)[labels])).asnumpy()
    np.testing.assert_allclose(dense, loss(logits, ms.Tensor(labels)).asnumpy(), rtol=1e-6)


def test_mixed_targets_give_the_mixture_of_losses(rng):
    logits = rng.standard_normal((4, 5)).astype(np.float32)
    one, other = rng.integers(0, 5, (2, 4))
    mixed = 0.3 * np.eye(5)[one] + 0.7 * np.eye(5)[other]
    expected = 0.3 * cross_entropy(logits, smoothed(one, 5, 0.1)) + 0.7 * cross_entropy(logits, smoothed(other, 5, 0.1))
    loss = CrossEntropySmooth(5, 0.1, "none")(ms.Tensor(logits), ms.Tensor(mixed.astype(np.float32)))
    np.testing.assert_allclose(loss.asnumpy(), expected, rtol=1e-5)


def test_the_loss_is_computed_in_float32():
    logits = ms.Tensor(np.array([[200.0, 0.0, -300.0]], np.float16))
    loss = CrossEntropySmooth(3)(logits, ms.Tensor(np.array([1], np.int32)))
    assert loss.dtype == ms.float32
    assert loss.asnumpy() == pytest.approx(200.0)


@pytest.mark.slow
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_binary_cross_entropy_follows_the_formula(rng, smoothing, reduction):
    logits = 3 * rng.standard_normal((6, 5)).astype(np.float32)
    labels = rng.integers(0, 5, 6).astype(np.int32)
    loss = BinaryCrossEntropySmooth(5, smoothing, reduction)(ms.Tensor(logits), ms.Tensor(labels)).asnumpy()
    expected = binary_cross_entropy(logits, smoothed(labels, 5, smoothing))
    expected = {"mean": expected.mean(), "sum": expected.sum(), "none": expected}[reduction]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_binary_cross_entropy_takes_dense_targets(rng):
    logits = rng.standard_normal((4, 5)).astype(np.float32)
    targets = rng.random((4, 5)).astype(np.float32)
    loss = BinaryCrossEntropySmooth(5, 0.1, "none")(ms.Tensor(logits), ms.Tensor(targets)).asnumpy()
    smooth = targets * 0.9 + (1 - targets) * 0.1 / 4
    np.testing.assert_allclose(loss, binary_cross_entropy(logits, smooth), rtol=1e-5)


@pytest.mark.parametrize(("threshold", "targets"), [(None, [0.3, 0.7]), (0.0, [1, 1]), (0.5, [0, 1])])
def test_a_threshold_makes_mixed_targets_binary(rng, threshold, targets):
    logits = rng.standard_normal((2, 5)).astype(np.float32)
    mixed, expected = np.zeros((2, 2, 5), np.float32)
    mixed[:, [1, 3]], expected[:, [1, 3]] = [0.3, 0.7], targets
    loss = make_loss(LossSettings("bce", 0.0, threshold), 5)(ms.Tensor(logits), ms.Tensor(mixed)).asnumpy()
    np.testing.assert_allclose(loss, binary_cross_entropy(logits, expected).mean(), rtol=1e-5)


def test_a_threshold_needs_binary_cross_entropy():
    with pytest.raises(ValueError, match=r"loss\.target_threshold needs loss\.name bce"):
        LossSettings(target_threshold=0.0)


def test_binary_cross_entropy_is_accurate_for_large_logits():
    logits = ms.Tensor(np.array([[1000.0, -1000.0], [-1000.0, 30.0]], np.float16))
    loss = BinaryCrossEntropySmooth(2, reduction="none")(logits, ms.Tensor(np.array([0, 0], np.int32)))
    assert loss.dtype == ms.float32
    np.testing.assert_allclose(loss.asnumpy(), [0, (1000 + 30) / 2], rtol=1e-6)
    assert logits_gradient(logits).tolist() == [[0, 0], [-0.25, 0.25]]


def logits_gradient(logits):
    loss = BinaryCrossEntropySmooth(2)
    return ms.grad(loss, 0)(logits.astype(ms.float32), ms.Tensor(np.array([0, 0], np.int32))).asnumpy()


def test_the_gradient_of_binary_cross_entropy_is_probability_minus_target(rng):
    logits = rng.standard_normal((4, 5)).astype(np.float32)
    logits[0, 0] = 0
    labels = rng.integers(0, 5, 4).astype(np.int32)
    gradient = ms.grad(BinaryCrossEntropySmooth(5, 0.1), 0)(ms.Tensor(logits), ms.Tensor(labels)).asnumpy()
    expected = (1 / (1 + np.exp(-logits.astype(np.float64))) - smoothed(labels, 5, 0.1)) / logits.size
    np.testing.assert_allclose(gradient, expected, atol=1e-7)


@pytest.mark.parametrize(("name", "expected"), [("cross_entropy", cross_entropy), ("bce", binary_cross_entropy)])
def test_make_loss_creates_the_loss_of_the_settings(rng, name, expected):
    logits = rng.standard_normal((6, 5)).astype(np.float32)
    labels = rng.integers(0, 5, 6).astype(np.int32)
    loss = make_loss(LossSettings(name, 0.3), 5)(ms.Tensor(logits), ms.Tensor(labels)).asnumpy()
    assert loss == pytest.approx(expected(logits, smoothed(labels, 5, 0.3)).mean(), rel=1e-5)


@pytest.mark.parametrize("kind", [CrossEntropySmooth, BinaryCrossEntropySmooth])
@pytest.mark.parametrize(("arguments", "words"), [((1,), "at least 2 classes"), ((3, 1.0), "label_smoothing")])
def test_invalid_arguments_are_refused(kind, arguments, words):
    with pytest.raises(ValueError, match=words):
        kind(*arguments)


def test_an_invalid_label_smoothing_is_reported_with_the_setting():
    with pytest.raises(ValueError, match=r"loss.label_smoothing must lie in \[0, 1\), not 1.0"):
        LossSettings(label_smoothing=1.0)


REFERENCE = json.loads((ROOT / "tests/references/recipes.json").read_text())["losses"]


@pytest.mark.parametrize(
    ("names", "settings"),
    [
        (("timm LabelSmoothingCrossEntropy", "torch CrossEntropyLoss"), LossSettings(smoothing="all")),
        (("timm BinaryCrossEntropy",), LossSettings("bce", smoothing="all")),
    ],
    ids=["cross_entropy", "bce"],
)
def test_smoothing_over_all_classes_is_that_of_timm_and_pytorch(names, settings):
    logits = ms.Tensor(REFERENCE["logits"], ms.float32)
    loss = make_loss(replace(settings, label_smoothing=REFERENCE["smoothing"]), 5)
    labels = ms.Tensor(REFERENCE["labels"], ms.int32)
    for name in names:
        assert loss(logits, labels).asnumpy() == pytest.approx(REFERENCE["values"][name], rel=1e-6), name


@pytest.mark.parametrize(
    ("names", "settings"),
    [
        (
            ("timm SoftTargetCrossEntropy, dense", "torch CrossEntropyLoss, dense"),
            LossSettings(smoothing="all"),
        ),
        (("timm BinaryCrossEntropy, dense",), LossSettings("bce", smoothing="all")),
    ],
    ids=["cross_entropy", "bce"],
)
def test_smoothing_of_mixed_targets_over_all_classes_is_that_of_timms_mixup(names, settings):
    """The targets that timm's Mixup smooths, from the plain mixture."""
    logits, dense = (ms.Tensor(REFERENCE[key], ms.float32) for key in ("logits", "dense"))
    loss = make_loss(replace(settings, label_smoothing=REFERENCE["smoothing"]), 5)
    for name in names:
        assert loss(logits, dense).asnumpy() == pytest.approx(REFERENCE["values"][name], rel=1e-6), name


def test_smoothing_over_the_other_classes_is_the_default_and_leaves_the_true_class_one_minus_s():
    loss = CrossEntropySmooth(5, 0.2)
    assert (loss.on_value, loss.off_value) == (0.8, pytest.approx(0.05))
    over_all = CrossEntropySmooth(5, 0.2, smoothing="all")
    assert (over_all.on_value, over_all.off_value) == (pytest.approx(0.84), pytest.approx(0.04))


def test_an_unknown_smoothing_is_reported_with_the_setting():
    with pytest.raises(ValueError, match=r"loss\.smoothing must be one of others, all, not 'some'"):
        LossSettings(smoothing="some")


# Class weights and the focal loss

WEIGHTS = np.array([0.5, 1.0, 2.0, 4.0, 0.25])


def test_the_weight_of_a_class_multiplies_its_term():
    logits = ms.Tensor(np.log([[2.0, 1.0, 1.0], [1.0, 1.0, 6.0]]).astype(np.float32))
    loss = CrossEntropySmooth(3, class_weights=np.array([5.0, 3.0, 2.0]))
    labels = ms.Tensor(np.array([1, 2], np.int32))
    assert loss(logits, labels).asnumpy() == pytest.approx((3 * np.log(4) + 2 * np.log(8 / 6)) / 2)
    mixed = ms.Tensor(np.array([[0.5, 0, 0.5], [0, 1, 0]], np.float32))
    expected = (0.5 * 5 * np.log(2) + 0.5 * 2 * np.log(4) + 3 * np.log(8)) / 2
    assert loss(logits, mixed).asnumpy() == pytest.approx(expected)


@pytest.mark.parametrize("targets", ["labels", "dense"])
def test_weights_and_smoothing_are_those_of_pytorch(targets):
    """With its reduction "none": its mean divides by the weights of the batch."""
    logits = ms.Tensor(REFERENCE["logits"], ms.float32)
    labels = ms.Tensor(REFERENCE[targets], ms.int32 if targets == "labels" else ms.float32)
    settings = LossSettings(smoothing="all", label_smoothing=REFERENCE["smoothing"])
    name = "torch CrossEntropyLoss, weighted" + (", dense" if targets == "dense" else "")
    loss = make_loss(settings, 5, np.array(REFERENCE["class_weights"]))
    assert loss(logits, labels).asnumpy() == pytest.approx(REFERENCE["values"][name], rel=1e-6)


def test_focal_binary_cross_entropy_is_that_of_torchvision():
    logits, labels = ms.Tensor(REFERENCE["logits"], ms.float32), ms.Tensor(REFERENCE["labels"], ms.int32)
    loss = make_loss(LossSettings("bce", 0.0, focal_gamma=2.0), 5)(logits, labels).asnumpy()
    assert loss == pytest.approx(REFERENCE["values"]["torchvision sigmoid_focal_loss"], rel=1e-6)


def test_the_focal_loss_reduces_what_is_classified_well():
    logits = ms.Tensor(np.log([[2.0, 1.0, 1.0], [8.0, 1.0, 1.0]]).astype(np.float32))
    loss = CrossEntropySmooth(3, reduction="none", focal_gamma=2.0)(logits, ms.Tensor(np.array([0, 0], np.int32)))
    np.testing.assert_allclose(loss.asnumpy(), [0.5**2 * np.log(2), 0.2**2 * np.log(1.25)], atol=1e-5)


def formula(kind, logits, labels, smoothing, gamma):
    """The documented loss of each sample, in float64."""
    targets = smoothed(labels, 5, smoothing)
    if kind is CrossEntropySmooth:
        p = softmax(logits)
        return -(WEIGHTS * targets * (1 - p) ** gamma * np.log(p)).sum(1)
    p = 1 / (1 + np.exp(-logits))
    terms = targets * (1 - p) ** gamma * np.log(p) + (1 - targets) * p**gamma * np.log(1 - p)
    return -WEIGHTS[labels] * terms.mean(1)


@pytest.mark.parametrize(
    ("kind", "gamma"), [(CrossEntropySmooth, 0.0), (CrossEntropySmooth, 1.5), (BinaryCrossEntropySmooth, 1.5)]
)
def test_weighted_focal_losses_and_their_gradients_follow_the_formula(rng, kind, gamma):
    logits, labels = 2 * rng.standard_normal((6, 5)), rng.integers(0, 5, 6).astype(np.int32)
    loss = kind(5, 0.1, class_weights=WEIGHTS, focal_gamma=gamma)
    value, gradient = ms.value_and_grad(loss, 0)(ms.Tensor(logits, ms.float32), ms.Tensor(labels))
    assert value.asnumpy() == pytest.approx(formula(kind, logits, labels, 0.1, gamma).mean(), rel=1e-5)
    expected = np.empty_like(logits)
    for index in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[index] = 1e-6
        high, low = (formula(kind, logits + sign * step, labels, 0.1, gamma).mean() for sign in (1, -1))
        expected[index] = (high - low) / 2e-6
    np.testing.assert_allclose(gradient.asnumpy(), expected, atol=3e-6)


def test_a_class_with_the_weight_zero_teaches_nothing():
    loss = CrossEntropySmooth(2, class_weights=np.array([0.0, 2.0]))
    labels = ms.Tensor(np.array([0, 1], np.int32))
    value, gradient = ms.value_and_grad(loss, 0)(ms.Tensor(np.zeros((2, 2), np.float32)), labels)
    assert value.asnumpy() == pytest.approx(np.log(2), rel=1e-6)
    np.testing.assert_allclose(gradient.asnumpy(), [[0, 0], [0.5, -0.5]], atol=1e-6)


@pytest.mark.parametrize("kind", [CrossEntropySmooth, BinaryCrossEntropySmooth])
def test_the_focal_loss_of_a_certain_sample_is_finite(kind):
    logits = ms.Tensor(np.array([[100.0, -100.0], [0.0, 200.0]], np.float32))
    loss = kind(2, focal_gamma=0.5)
    value, gradient = ms.value_and_grad(loss, 0)(logits, ms.Tensor(np.array([0, 0], np.int32)))
    assert value.asnumpy() == pytest.approx(
        100 if kind is CrossEntropySmooth else 50 + np.log(2) * 0.5**0.5 / 4, rel=1e-5
    )
    assert np.isfinite(gradient.asnumpy()).all()


def test_the_weighted_loss_of_a_batch_is_the_mean_of_its_parts(rng):
    """So accumulated micro-batches and ranks together compute what one batch does."""
    logits, labels = rng.standard_normal((6, 5)).astype(np.float32), rng.integers(0, 5, 6).astype(np.int32)
    loss = make_loss(LossSettings(), 5, WEIGHTS)
    parts = [loss(ms.Tensor(logits[rows]), ms.Tensor(labels[rows])).asnumpy() for rows in (slice(3), slice(3, 6))]
    assert loss(ms.Tensor(logits), ms.Tensor(labels)).asnumpy() == pytest.approx(np.mean(parts), rel=1e-6)


def test_mixed_labels_weigh_a_sample_with_the_mixture_of_their_weights(rng):
    logits = ms.Tensor(rng.standard_normal((1, 5)).astype(np.float32))
    mixed = ms.Tensor(np.array([[0, 0.25, 0, 0.75, 0]], np.float32))
    plain, weighted = (
        make_loss(LossSettings("bce", 0.1, 0.0), 5, weights)(logits, mixed) for weights in (None, WEIGHTS)
    )
    assert weighted.asnumpy() == pytest.approx(plain.asnumpy() * (0.25 * 1 + 0.75 * 4), rel=1e-6)


CLASSES = Classes.named(("cat", "dog", "owl"))
COUNTS = np.array([60, 20, 5])


def test_balanced_weights_are_those_of_scikit_learn():
    weights = resolve_class_weights(LossSettings(class_weights="balanced"), CLASSES, COUNTS)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.repeat(np.arange(3), COUNTS))
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights.dtype == np.float32
    assert np.average(weights, weights=COUNTS) == pytest.approx(1)


def test_a_class_without_images_has_the_weight_one():
    weights = resolve_class_weights(LossSettings(class_weights="balanced"), CLASSES, np.array([30, 0, 10]))
    np.testing.assert_allclose(weights, [40 / 60, 1, 40 / 20])


@pytest.mark.parametrize(("balanced_sampling", "mean"), [(False, (60 * 1 + 20 * 2 + 5 * 5) / 85), (True, 8 / 3)])
def test_given_weights_keep_the_scale_of_the_loss(balanced_sampling, mean):
    settings = LossSettings(class_weights=(1.0, 2.0, 5.0))
    weights = resolve_class_weights(settings, CLASSES, COUNTS, balanced_sampling)
    np.testing.assert_allclose(weights, np.array([1, 2, 5]) / mean, rtol=1e-6)


def test_invalid_weights_are_refused():
    with pytest.raises(UserError, match="has 2 numbers, but the data have 3 classes: cat, dog, owl"):
        resolve_class_weights(LossSettings(class_weights=(1.0, 2.0)), CLASSES, COUNTS)
    with pytest.raises(UserError, match="no number above 0 for a class with training images"):
        resolve_class_weights(LossSettings(class_weights=(1.0, 0.0, 0.0)), CLASSES, np.array([0, 5, 5]))
    for weights in ((-1.0, 2.0), (), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match=r"loss\.class_weights"):
            LossSettings(class_weights=weights)
    with pytest.raises(ValueError, match=r"loss\.focal_gamma must be at least 0, not -1"):
        LossSettings(focal_gamma=-1)


@pytest.mark.parametrize(("option", "value"), [("balanced", "balanced"), ("[1, 2.5]", (1.0, 2.5)), ("null", None)])
def test_class_weights_are_read_from_the_command_line(option, value):
    assert parse(Recipe, "", ["--loss.class_weights", option])[0].loss.class_weights == value


def test_other_class_weights_are_refused_with_what_they_may_be():
    with pytest.raises(
        UserError, match=r"loss.class_weights must be balanced or a list of numbers .* or null, not equal"
    ):
        parse(Recipe, "", ["--loss.class_weights", "equal"])
