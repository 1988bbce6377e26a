import mindspore as ms
import numpy as np
import pytest

from mindvit.losses import CrossEntropySmooth
from tests.numpy_vit import softmax


def smoothed(labels, num_classes, smoothing):
    """The tutorial's targets: 1 - s on the class, s / (C - 1) elsewhere."""
    targets = np.full((len(labels), num_classes), smoothing / (num_classes - 1))
    targets[np.arange(len(labels)), labels] = 1 - smoothing
    return targets


def cross_entropy(logits, targets):
    return -(targets * np.log(softmax(logits.astype(np.float64)))).sum(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_sparse_labels_follow_the_formula(rng, smoothing, reduction):
    logits = rng.standard_normal((6, 5)).astype(np.float32)
    labels = rng.integers(0, 5, 6).astype(np.int32)
    loss = CrossEntropySmooth(5, smoothing, reduction)(ms.Tensor(logits), ms.Tensor(labels)).asnumpy()
    expected = cross_entropy(logits, smoothed(labels, 5, smoothing))
    expected = {"mean": expected.mean(), "sum": expected.sum(), "none": expected}[reduction]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_dense_one_hot_targets_equal_sparse_labels(rng):
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


@pytest.mark.parametrize(("arguments", "words"), [((1,), "at least 2 classes"), ((3, 1.0), "label_smoothing")])
def test_impossible_settings_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        CrossEntropySmooth(*arguments)
