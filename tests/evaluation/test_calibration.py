from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from mindvit.evaluation.calibration import calibrate
from tests.evaluation.builders import random_case


class _Given(SimpleNamespace):
    def __len__(self):
        return len(self.confidence)


def given(confidence, right):
    confidence = np.array(confidence)
    return _Given(confidence=confidence, is_right=np.array(right, bool), brier=np.zeros(len(confidence)))


def test_ece_is_the_gap_of_each_bin_weighted_by_its_images():
    """By hand: bin 14 has 0.90 and 0.92, half right: gap 0.41; bin 8 has 0.5, wrong: gap 0.5; 3 images."""
    found = calibrate(given([0.90, 0.92, 0.5], [True, False, False]))
    assert found.ece == pytest.approx(2 / 3 * 0.41 + 1 / 3 * 0.5)
    assert found.confidence == pytest.approx((0.90 + 0.92 + 0.5) / 3)
    assert [item.num_images for item in found.bins] == [0] * 7 + [1] + [0] * 5 + [2, 0]
    assert (found.bins[13].accuracy, found.bins[13].confidence) == (0.5, pytest.approx(0.91))
    assert (found.bins[0].accuracy, found.bins[0].confidence) == (None, None)


def test_a_bin_includes_its_upper_end_and_the_last_one_certainty():
    found = calibrate(given([1 / 15, 0.2, 1.0], [True] * 3))
    assert [index for index, item in enumerate(found.bins) if item.num_images] == [0, 2, 14]
    assert (found.bins[2].low, found.bins[2].high) == (2 / 15, 0.2)


def test_a_network_that_is_right_as_often_as_it_says_has_no_error():
    assert calibrate(given([0.75] * 4, [True, True, True, False])).ece == 0
    assert calibrate(given([1.0] * 4, [False] * 4)).ece == 1


def test_the_reliability_table_agrees_with_scikit_learn(rng):
    predictions, _ = random_case(rng)
    found = [item for item in calibrate(predictions).bins if item.num_images]
    accuracy, confidence = calibration_curve(predictions.is_right, predictions.confidence, n_bins=15)
    np.testing.assert_allclose([item.accuracy for item in found], accuracy)
    np.testing.assert_allclose([item.confidence for item in found], confidence)
    assert sum(item.num_images for item in found) == len(predictions)
