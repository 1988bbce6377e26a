import mindspore as ms
import numpy as np
import pytest

from mindvit.data.split import PADDING_LABEL
from mindvit.evaluation.metrics import metrics
from tests.numpy_vit import softmax


def measure(*batches):
    found = metrics()
    for metric in found.values():
        metric.clear()
        for logits, labels in batches:
            metric.update(ms.Tensor(np.array(logits, np.float32)), ms.Tensor(np.array(labels, np.int32)))
    return {name: metric.eval() for name, metric in found.items()}


def test_metrics_follow_their_definitions(rng):
    logits = rng.standard_normal((40, 10))
    labels = rng.integers(0, 10, 40)
    order = np.argsort(-logits, axis=1)
    result = measure((logits[:25], labels[:25]), (logits[25:], labels[25:]))
    assert result["top1"] == pytest.approx(100 * np.mean(order[:, 0] == labels))
    assert result["top5"] == pytest.approx(100 * np.mean((order[:, :5] == labels[:, None]).any(1)))
    assert 0 < result["top1"] < result["top5"] < 100
    expected = -np.log(softmax(logits.astype(np.float32))[np.arange(40), labels]).mean()
    assert result["loss"] == pytest.approx(expected, rel=1e-5)
    assert result["num_images"] == 40


def test_padding_does_not_count():
    real = ([[3, 1], [0, 2]], [0, 0])
    padded = (real[0] + [[9, 0], [0, 9]], real[1] + [PADDING_LABEL] * 2)
    assert measure(padded) == measure(real)
    assert measure(padded)["num_images"] == 2


def test_a_smaller_last_batch_counts_by_its_images():
    result = measure(([[1, 0], [1, 0], [1, 0]], [0, 0, 0]), ([[1, 0]], [1]))
    assert result["top1"] == 75


def test_equal_logits_are_not_all_correct():
    assert measure((np.zeros((10, 10)), range(10)))["top1"] == 10
    assert measure((np.zeros((10, 10)), range(10)))["top5"] == 50


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("error")
def test_logits_that_are_not_finite_give_no_metrics_and_are_counted(value):
    good = ([[3.0, 1.0]], [0])
    result = measure(good, ([[value, 0.0], [0.0, value], [1.0, 0.0]], [0, 0, PADDING_LABEL]), good)
    assert all(np.isnan(result[name]) for name in ("top1", "top5", "loss"))
    assert (result["num_images"], result["num_not_finite"]) == (4, 2)
    assert measure(good)["num_not_finite"] == 0


def test_padding_that_is_not_finite_does_not_count():
    result = measure(([[3.0, 1.0], [np.nan, np.nan]], [0, PADDING_LABEL]))
    assert (result["top1"], result["num_not_finite"]) == (100, 0)


def test_with_fewer_than_five_classes_top5_is_100():
    assert measure(([[1, 2, 3], [3, 2, 1]], [0, 2]))["top5"] == 100


def test_large_logits_do_not_overflow_the_loss():
    assert measure(([[1000.0, 0.0]], [1]))["loss"] == pytest.approx(1000)


def test_a_metric_can_be_used_again():
    top1 = metrics()["top1"]
    for labels, expected in (([0], 100), ([1], 0)):
        top1.clear()
        top1.update(ms.Tensor(np.array([[1.0, 0.0]], np.float32)), ms.Tensor(np.array(labels, np.int32)))
        assert top1.eval() == expected
