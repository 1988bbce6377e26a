import numpy as np
import pytest
from sklearn.metrics import classification_report

from mindvit.classes import Classes
from mindvit.evaluation.class_metrics import average, confusion_matrix, list_confusions, measure_classes
from tests.evaluation.builders import collect, random_case

# Six images of cat, dog and emu (no image of fox): cat cat, cat dog, dog dog, dog dog, emu cat, emu dog.
LABELS, PREDICTED = [0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 0, 1]
CLASSES = Classes.named(("cat", "dog", "emu", "fox"))


@pytest.fixture(scope="module")
def predictions():
    return collect(np.eye(4)[PREDICTED], LABELS)


def test_metrics_by_class_follow_their_definitions(predictions):
    cat, dog, emu, fox = measure_classes(predictions, CLASSES)
    assert (cat.precision, cat.recall, cat.f1, cat.support, cat.predicted) == (0.5, 0.5, 0.5, 2, 2)
    assert (dog.precision, dog.recall, dog.f1, dog.support, dog.predicted) == (0.5, 1, pytest.approx(2 / 3), 2, 4)
    assert (emu.precision, emu.recall, emu.f1, emu.support, emu.predicted) == (0, 0, 0, 2, 0)
    assert (fox.precision, fox.recall, fox.f1, fox.support, fox.predicted) == (None, None, None, 0, 0)


def test_averages_leave_out_classes_without_images(predictions):
    macro = average(measure_classes(predictions, CLASSES))
    assert macro.recall == pytest.approx((0.5 + 1 + 0) / 3)
    assert macro.f1 == pytest.approx((0.5 + 2 / 3 + 0) / 3)


def test_a_class_without_images_that_is_predicted_has_precision_zero():
    found = measure_classes(collect(np.eye(4)[[3, 0]], [0, 0]), CLASSES)
    assert (found[3].precision, found[3].recall, found[3].predicted) == (0, None, 1)


def test_metrics_agree_with_the_report_of_scikit_learn(rng):
    predictions, split = random_case(rng)
    found = measure_classes(predictions, split.classes)
    report = classification_report(predictions.labels, predictions.predicted, output_dict=True)
    for label, item in enumerate(found):
        expected = report[str(label)]
        assert (item.precision, item.recall, item.f1) == tuple(
            pytest.approx(expected[name]) for name in ("precision", "recall", "f1-score")
        )
        assert item.support == expected["support"]
    for weighted, name in ((False, "macro avg"), (True, "weighted avg")):
        mean = average(found, weighted)
        assert mean.precision == pytest.approx(report[name]["precision"])
        assert mean.f1 == pytest.approx(report[name]["f1-score"])


def test_confusions_are_counted_by_true_and_predicted_class(predictions):
    matrix = confusion_matrix(predictions, CLASSES)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    matrix[2, 1] = 3
    pairs = [(pair.true, pair.predicted, pair.num_images, pair.share) for pair in list_confusions(matrix, CLASSES)]
    assert pairs == [("emu", "dog", 3, 0.75), ("cat", "dog", 1, 0.5), ("emu", "cat", 1, 0.25)]
