import numpy as np
import pytest
from PIL import Image

from mindvit.classes import Classes
from mindvit.data.folder import open_folder
from mindvit.data.split import Source, Split
from mindvit.errors import UserError


def split_of(labels, names):
    """A split whose image i has the value i in all pixels."""
    classes = Classes(tuple(names), tuple(name.upper() for name in names))
    return Split(
        origin="somewhere",
        classes=classes,
        labels=np.array(labels, np.int32),
        read=lambda index: Image.new("RGB", (2, 2), (index,) * 3),
        describe=lambda index: f"image {index}",
        flip=False,
    )


SPLIT = split_of([0, 1, 2, 0, 1, 2, 2, 3], ("ant", "bee", "cow", "dog"))


def image_numbers(split):
    """Numbers of the images of a split, after a check that its descriptions match."""
    read = [split.read(index).getpixel((0, 0))[0] for index in range(len(split))]
    assert [split.describe(index) for index in range(len(split))] == [f"image {number}" for number in read]
    return read


def test_selected_classes_keep_their_images_and_are_renumbered_in_source_order():
    subset = SPLIT.select_classes(("dog", "bee", "cow"))
    assert (subset.classes.ids, subset.classes.names) == (("bee", "cow", "dog"), ("BEE", "COW", "DOG"))
    assert image_numbers(subset) == [1, 2, 4, 5, 6, 7]
    assert subset.labels.tolist() == [0, 1, 0, 1, 1, 2]
    assert subset.labels.dtype == np.int32
    assert not subset.flip
    assert image_numbers(subset.select_classes(("cow", "dog"))) == [2, 5, 6, 7], "a subset of a subset"


def test_an_unknown_class_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match=r"^somewhere has no class 'cob' \(data.classes\); the nearest is 'cow'$"):
        SPLIT.select_classes(("ant", "cob"))


def test_a_class_without_images_is_refused():
    with pytest.raises(UserError, match=r"^somewhere has no images of bee \(data\.classes\)$"):
        split_of([0, 2], ("ant", "bee", "cow")).select_classes(("ant", "bee"))


@pytest.mark.parametrize(
    ("samples_per_class", "numbers"),
    [(1, [0, 8, 9]), (2, [0, 4, 8, 9, 10]), (3, [0, 2, 5, 8, 9, 10]), (8, range(11)), (99, range(11))],
)
def test_limited_images_of_each_class_are_evenly_spaced(samples_per_class, numbers):
    split = split_of([0] * 8 + [2, 1, 1], ("ant", "bee", "cow"))
    limited = split.limit_per_class(samples_per_class)
    assert image_numbers(limited) == list(numbers)
    assert limited.labels.tolist() == [split.labels[number] for number in numbers]
    assert limited.classes == split.classes


def test_a_subset_limits_training_images_and_keeps_all_validation_images(make_folder):
    source = open_folder(make_folder(classes=("ant", "bee", "cow"), counts=4))
    subset = source.subset(("ant", "cow"), 2)
    assert subset.train.classes.ids == subset.val.classes.ids == ("ant", "cow")
    assert (subset.train.labels.tolist(), subset.val.labels.tolist()) == ([0, 0, 1, 1], [0] * 4 + [1] * 4)
    assert [subset.train.describe(index)[-9:] for index in range(4)] == [
        "ant/0.png",
        "ant/2.png",
        "cow/0.png",
        "cow/2.png",
    ]


def test_a_source_without_a_subset_stays_complete(make_folder):
    source = open_folder(make_folder())
    assert source.subset(None, None) == source
    assert Source(None, source.val).subset(("cat", "dog"), 1).train is None
    assert Source(source.train, None).subset(("cat", "dog"), 1).val is None


def test_the_fingerprint_differs_for_other_images_or_classes():
    others = [
        split_of([0, 1, 2, 0, 1, 2, 2], ("ant", "bee", "cow", "dog")),
        split_of([0, 1, 2, 0, 1, 2, 3, 2], ("ant", "bee", "cow", "dog")),
        split_of([0, 1, 2, 0, 1, 2, 2, 3], ("ant", "bee", "cow", "elk")),
    ]
    assert len({split.fingerprint() for split in (SPLIT, *others)}) == 4
    assert len({str(split.fingerprint()) for split in (SPLIT, *others)}) == 4
    assert SPLIT.fingerprint() == split_of([0, 1, 2, 0, 1, 2, 2, 3], ("ant", "bee", "cow", "dog")).fingerprint()
    assert str(SPLIT.fingerprint()).startswith("8 images of 4 classes (")


def test_the_names_of_images_are_relative_to_the_source_and_follow_its_subsets(make_folder):
    one, other = (open_folder(make_folder(root, counts=4)).subset(("dog", "cat"), 2) for root in ("a", "b"))
    assert [one.train.name(index) for index in range(4)] == ["cat/0.png", "cat/2.png", "dog/0.png", "dog/2.png"]
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint.val.counts == (4, 4)
    assert Source(one.train, None).fingerprint.val is None
