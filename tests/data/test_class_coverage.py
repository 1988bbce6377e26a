import warnings

import numpy as np
import pytest

from mindvit.classes import Classes
from mindvit.data.class_coverage import note_missing_in_splits, note_not_evaluated
from mindvit.data.split import Source, Split

CLASSES = Classes.named(tuple("abcdefg"))


def split(origin, *labels):
    return Split(origin, CLASSES, np.array(labels, np.int32), None, None)


def test_classes_without_images_in_one_of_the_splits_are_named():
    with pytest.warns(UserWarning) as notes:
        note_missing_in_splits(Source(split("train", 0, 1, 2), split("val", 1, 1, 6)))
    assert [str(note.message) for note in notes] == [
        "val has no images of 2 classes (a, c); the metrics of val do not cover them",
        "train has no images of 1 class (g); val expects them, but nothing is learned about them",
    ]


def test_splits_in_one_folder_are_told_apart():
    with pytest.warns(UserWarning, match="^the val split of pets has no images of 1 class"):
        note_missing_in_splits(Source(split("pets", 0, 1), split("pets", 1)))


def test_classes_of_the_model_without_images_are_named():
    with pytest.warns(
        UserWarning, match=r"^val has no images of 6 classes \(a, b, c, d, e, …\), of the 7 of the model"
    ):
        note_not_evaluated(split("val", 6, 6))


def test_splits_with_images_of_the_same_classes_give_no_note():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        note_missing_in_splits(Source(split("train", 0, 1), split("val", 1, 0, 0)))
        note_missing_in_splits(Source(split("train", 0, 1), None))
        note_not_evaluated(split("val", *range(7)))
