import numpy as np
import pytest

from mindvit.data.split import PADDING_LABEL
from tests.evaluation.builders import collect
from tests.numpy_vit import softmax


def test_predictions_follow_their_definitions_for_any_batch_size(rng):
    logits, labels = rng.standard_normal((23, 9)).astype(np.float32), rng.integers(0, 9, 23)
    probabilities = softmax(logits.astype(np.float64))
    order = np.argsort(-logits, axis=1)
    for batch in (23, 4):
        found = collect(logits, labels, batch)
        assert found.indices.tolist() == list(range(23))
        assert found.labels.tolist() == labels.tolist()
        assert found.top.tolist() == order[:, :5].tolist()
        np.testing.assert_allclose(found.confidence, probabilities.max(axis=1), rtol=1e-12)
        np.testing.assert_allclose(found.true_probability, probabilities[np.arange(23), labels], rtol=1e-12)
        np.testing.assert_allclose(found.loss, -np.log(probabilities[np.arange(23), labels]), rtol=1e-12)
        expected = np.square(probabilities - np.eye(9)[labels]).sum(axis=1)
        np.testing.assert_allclose(found.brier, expected, rtol=1e-12)


def test_padding_and_skipped_images_have_no_row_and_move_no_index():
    logits = np.eye(6)[:, :3] + 1
    labels = [0, PADDING_LABEL, 2, 1, PADDING_LABEL, PADDING_LABEL]
    assert collect(logits, labels, batch=2).indices.tolist() == [0, 2, 3]
    assert collect(logits, labels, batch=2, rank=1, world_size=3).indices.tolist() == [1, 7, 10]


def test_with_fewer_than_five_classes_all_are_kept():
    assert collect([[0.0, 2.0, 1.0]], [0]).top.tolist() == [[1, 2, 0]]


def test_of_equal_logits_the_first_class_is_predicted():
    found = collect(np.zeros((2, 8)), [0, 7])
    assert found.top.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert found.is_right.tolist() == [True, False]


def test_large_logits_do_not_overflow():
    found = collect([[1000.0, 0.0], [0.0, 1000.0]], [1, 1])
    assert found.loss.tolist() == [1000, 0]
    assert found.brier.tolist() == [2, 0]
    assert found.confidence.tolist() == [1, 1]


def test_a_shard_of_padding_alone_gives_no_predictions():
    assert len(collect(np.zeros((2, 3)), [PADDING_LABEL] * 2)) == 0


@pytest.mark.filterwarnings("error")
def test_logits_that_are_not_finite_are_collected_without_a_warning():
    assert len(collect([[np.nan, 0.0], [np.inf, 0.0]], [0, 0])) == 2
