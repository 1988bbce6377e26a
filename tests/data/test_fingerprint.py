import json
import time
from dataclasses import asdict, replace

import numpy as np
import pytest

from mindvit.data.fingerprint import DataFingerprint, compare, fingerprint_of
from mindvit.json_schema import decode

PETS = {"cat": ["c1", "c2", "c3"], "dog": ["d1", "d2"], "emu": ["e1"]}


def fingerprint(files):
    """The fingerprint of a folder with these files in each class folder."""
    names = [f"{folder}/{name}" for folder, members in files.items() for name in members]
    labels = np.repeat(np.arange(len(files)), [len(members) for members in files.values()])
    return fingerprint_of(tuple(files), labels, names.__getitem__)


def data(train, val=None):
    return DataFingerprint(fingerprint(train), val and fingerprint(val))


def renamed(old, new):
    """PETS with a renamed folder, in the sorted order in which folders are read."""
    return dict(sorted((new if name == old else name, files) for name, files in PETS.items()))


def test_equal_data_have_no_changes():
    assert compare(data(PETS, PETS), data(PETS, PETS)) == compare(data(PETS), data(PETS))
    assert not any(asdict(compare(data(PETS, PETS), data(dict(PETS), dict(PETS)))).values())


@pytest.mark.parametrize(
    ("now", "labels", "others"),
    [
        (renamed("cat", "cats"), [], ["class 'cat' is now 'cats'"]),
        (
            renamed("cat", "zebra"),
            [
                "class 'cat' (label 0) is now 'zebra' (label 2)",
                "class 'dog' has the label 0 instead of 1",
                "class 'emu' has the label 1 instead of 2",
            ],
            [],
        ),
        (
            # Both names change, and with them the order.
            dict(sorted({"Katze": PETS["cat"], "Hund": PETS["dog"], "emu": PETS["emu"]}.items())),
            ["class 'cat' (label 0) is now 'Katze' (label 1)", "class 'dog' (label 1) is now 'Hund' (label 0)"],
            [],
        ),
        ({"cat": PETS["cat"], "dog": PETS["dog"]}, ["class 'emu' is gone"], []),
        (PETS | {"fox": ["f"]}, ["class 'fox' is new"], []),
        (PETS | {"cat": ["c2"]}, [], ["train: 2 images fewer in 'cat'"]),
        (PETS | {"dog": ["d1", "d2", "d3"]}, [], ["train: 1 image more in 'dog'"]),
        (PETS | {"dog": ["d1", "d9"]}, [], ["train: other files in 'dog'"]),
        # Other files at the place of a class that is gone: whether they are the same class is for a person to say.
        (
            {"cat": PETS["cat"], "dingo": ["x", "y"], "emu": ["e1"]},
            [],
            ["class 'dog' is now 'dingo'", "train: other files in 'dingo'"],
        ),
    ],
)
def test_changes_of_the_training_images_are_named(now, labels, others):
    found = compare(data(PETS), data(now))
    assert (list(found.labels), list(found.others)) == (labels, others)


def test_changes_of_the_validation_images_are_named():
    assert compare(data(PETS, PETS), data(PETS, PETS | {"emu": ["e1", "e2"]})).others == ("val: 1 image more in 'emu'",)
    assert compare(data(PETS), data(PETS, PETS)).others == ("there is a val split now",)
    assert compare(data(PETS, PETS), data(PETS)).others == ("there is no val split now",)


def test_classes_with_the_same_file_names_are_matched_by_label():
    before, now = ({name: ["1", "2"] for name in names} for names in (("cat", "dog"), ("Hund", "Katze")))
    found = compare(data(before), data(now))
    assert found.others == ("class 'cat' is now 'Hund'", "class 'dog' is now 'Katze'")


def test_a_class_without_images_and_a_name_that_is_not_utf8_have_a_fingerprint():
    empty = fingerprint(PETS | {"fox": []})
    assert empty.counts == (3, 2, 1, 0)
    odd = fingerprint(PETS | {"dog": ["d1", "\udcff"]})
    assert odd.digests[1] != fingerprint(PETS).digests[1]
    assert str(replace(odd, class_ids=("cat", "\udcff", "emu"))).startswith("6 images of 3 classes")


def test_a_fingerprint_survives_json():
    for made in (data(PETS, PETS), data(PETS)):
        assert decode(DataFingerprint, json.loads(json.dumps(asdict(made)))) == made


def test_a_crafted_fingerprint_is_an_error():
    stored = asdict(data(PETS))
    stored["train"]["counts"] = [1]
    with pytest.raises(ValueError, match="a count and a digest for each class"):
        decode(DataFingerprint, stored)


def test_a_fingerprint_of_a_large_split_takes_seconds_at_most():
    names = [f"n{label:08d}/n{label:08d}_{number}.JPEG" for label in range(1000) for number in range(100)]
    started = time.process_time()
    fingerprint_of(tuple(f"n{label:08d}" for label in range(1000)), np.arange(1000).repeat(100), names.__getitem__)
    assert time.process_time() - started < 1, "13 times as many images are in ImageNet"
