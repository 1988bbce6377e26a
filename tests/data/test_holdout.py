import numpy as np
import pytest

from mindvit.classes import Classes
from mindvit.data.holdout import hold_out
from mindvit.data.sources import open_source
from mindvit.data.split import Source, Split
from mindvit.errors import UserError

COUNTS = {"bird": 5, "cat": 60, "dog": 20}


def unsplit(counts, prefix=True):
    """A source without splits, each class with the images 0.png, 1.png, …"""
    files = [f"{name}/{index}.png" if prefix else f"{index}.png" for name, n in counts.items() for index in range(n)]
    labels = np.repeat(np.arange(len(counts)), list(counts.values())).astype(np.int32)
    whole = Split("pets", Classes.named(tuple(counts)), labels, None, files.__getitem__, name=files.__getitem__)
    return Source(train=whole, val=whole)


def names(split):
    return [split.name(index) for index in range(len(split))]


def of_class(split, name):
    label = split.classes.ids.index(name)
    return {split.name(index).rpartition("/")[2] for index in np.flatnonzero(split.labels == label).tolist()}


def test_every_class_gives_its_part_and_every_image_is_in_one_split():
    held_out = hold_out(unsplit(COUNTS), 0.2, 0)
    assert np.bincount(held_out.val.labels).tolist() == [1, 12, 4]
    assert np.bincount(held_out.train.labels).tolist() == [4, 48, 16]
    assert sorted(names(held_out.train) + names(held_out.val)) == sorted(names(unsplit(COUNTS).train))
    assert not held_out.is_unsplit


@pytest.mark.parametrize("fraction", [1e-6, 0.01, 0.5, 0.99, 1 - 1e-9])
def test_classes_of_two_images_and_more_are_in_both_splits(fraction):
    held_out = hold_out(unsplit({"a": 1, "b": 2, "c": 3, "d": 100}), fraction, 3)
    assert held_out.train.ids_with_images == set("abcd")
    assert held_out.val.ids_with_images == set("bcd")


def test_the_seed_and_the_names_alone_decide():
    val = names(hold_out(unsplit(COUNTS), 0.2, 0).val)
    assert names(hold_out(unsplit(COUNTS), 0.2, 0).val) == val
    assert names(hold_out(unsplit(COUNTS), 0.2, 1).val) != val
    whole = unsplit(COUNTS).train
    shuffled = whole.take(np.random.default_rng(0).permutation(len(whole)))
    assert sorted(names(hold_out(Source(shuffled, shuffled), 0.2, 0).val)) == sorted(val)


def test_other_classes_and_new_names_of_classes_change_nothing():
    val = hold_out(unsplit(COUNTS), 0.2, 0).val
    more = hold_out(unsplit({"ant": 9, "bird": 5, "cat": 60, "dog": 33}), 0.2, 0).val
    renamed = hold_out(unsplit({"bird": 5, "dog": 20, "tomcat": 60}), 0.2, 0).val
    assert of_class(more, "bird") == of_class(val, "bird")
    assert of_class(more, "cat") == of_class(renamed, "tomcat") == of_class(val, "cat")


def test_a_new_image_moves_at_most_one_other():
    before = of_class(hold_out(unsplit({"bird": 5, "cat": 60}), 0.2, 0).val, "cat")
    for count in range(61, 70):
        after = of_class(hold_out(unsplit({"bird": 5, "cat": count}), 0.2, 0).val, "cat")
        assert len(before - after) <= 1
        before = after


def test_images_in_folders_of_their_own_are_chosen_by_their_whole_names():
    files = [f"{index:03}/image.png" for index in range(100)]
    whole = Split(
        "pets", Classes.named(("a", "b")), np.repeat([0, 1], 50).astype(np.int32), None, None, name=files.__getitem__
    )
    val = names(hold_out(Source(whole, whole), 0.2, 0).val)
    assert val != [*files[:10], *files[50:60]]


def test_data_with_a_val_split_are_refused(make_folder):
    root = make_folder(counts=4)
    with pytest.raises(UserError, match=r"images/val is the val split of the data, .* set data.val_fraction to null"):
        open_source("folder", str(root), val_fraction=0.2)
    held_out = open_source("folder", str(root / "train"), val_fraction=0.25)
    assert (len(held_out.train), len(held_out.val)) == (6, 2)


def test_a_train_folder_without_val_is_divided(make_folder):
    held_out = open_source("folder", str(make_folder(splits=("train", "test"), counts=4)), val_fraction=0.25)
    assert (len(held_out.train), len(held_out.val), len(held_out.test)) == (6, 2, 8)


def test_classes_of_one_image_each_cannot_be_divided():
    with pytest.raises(UserError, match="pets has no class with two images"):
        hold_out(unsplit({"a": 1, "b": 1}), 0.5, 0)
