import numpy as np
import pytest
from PIL import Image

from mindvit.data.folder import open_folder
from mindvit.classes import Classes
from mindvit.data.split import Source, Split
from mindvit.errors import UserError


def split_of(labels, names):
    """A split whose image i is filled with the value i."""
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


def shown(split):
    """Which images a split reads, and which it says that it reads."""
    read = [split.read(index).getpixel((0, 0))[0] for index in range(len(split))]
    assert [split.describe(index) for index in range(len(split))] == [f"image {number}" for number in read]
    return read


def test_some_classes_keep_their_images_and_are_labelled_anew_in_the_sources_order():
    part = SPLIT.select_classes(("dog", "bee", "cow"))
    assert (part.classes.ids, part.classes.names) == (("bee", "cow", "dog"), ("BEE", "COW", "DOG"))
    assert shown(part) == [1, 2, 4, 5, 6, 7]
    assert part.labels.tolist() == [0, 1, 0, 1, 1, 2]
    assert part.labels.dtype == np.int32
    assert not part.flip
    assert shown(part.select_classes(("cow", "dog"))) == [2, 5, 6, 7], "a part of a part"


def test_a_class_that_is_not_there_is_refused_naming_the_nearest():
    with pytest.raises(UserError, match=r"^somewhere has no class 'cob' \(data.classes\); the nearest is 'cow'$"):
        SPLIT.select_classes(("ant", "cob"))


def test_a_class_without_images_is_refused():
    with pytest.raises(UserError, match=r"^somewhere has no image of bee, which data\.classes asks for$"):
        split_of([0, 2], ("ant", "bee", "cow")).select_classes(("ant", "bee"))


@pytest.mark.parametrize(
    ("samples_per_class", "numbers"),
    [(1, [0, 8, 9]), (2, [0, 4, 8, 9, 10]), (3, [0, 2, 5, 8, 9, 10]), (8, range(11)), (99, range(11))],
)
def test_few_images_of_each_class_are_evenly_spread(samples_per_class, numbers):
    split = split_of([0] * 8 + [2, 1, 1], ("ant", "bee", "cow"))
    few = split.limit_per_class(samples_per_class)
    assert shown(few) == list(numbers)
    assert few.labels.tolist() == [split.labels[number] for number in numbers]
    assert few.classes == split.classes


def test_a_sources_part_has_few_training_images_and_all_to_validate_on(make_folder):
    source = open_folder(make_folder(classes=("ant", "bee", "cow"), counts=4))
    part = source.part(("ant", "cow"), 2)
    assert part.train.classes.ids == part.val.classes.ids == ("ant", "cow")
    assert (part.train.labels.tolist(), part.val.labels.tolist()) == ([0, 0, 1, 1], [0] * 4 + [1] * 4)
    assert [part.train.describe(index)[-9:] for index in range(4)] == [
        "ant/0.png",
        "ant/2.png",
        "cow/0.png",
        "cow/2.png",
    ]


def test_a_source_whose_part_is_not_asked_for_stays_whole(make_folder):
    source = open_folder(make_folder())
    assert source.part(None, None) == source
    assert Source(None, source.val).part(("cat", "dog"), 1).train is None
    assert Source(source.train, None).part(("cat", "dog"), 1).val is None


def test_the_fingerprint_tells_splits_of_other_images_or_classes_apart():
    others = [
        split_of([0, 1, 2, 0, 1, 2, 2], ("ant", "bee", "cow", "dog")),
        split_of([0, 1, 2, 0, 1, 2, 3, 2], ("ant", "bee", "cow", "dog")),
        split_of([0, 1, 2, 0, 1, 2, 2, 3], ("ant", "bee", "cow", "elk")),
    ]
    assert len({split.fingerprint() for split in (SPLIT, *others)}) == 4
    assert SPLIT.fingerprint() == split_of([0, 1, 2, 0, 1, 2, 2, 3], ("ant", "bee", "cow", "dog")).fingerprint()
