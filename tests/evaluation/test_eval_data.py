import shutil
import warnings
from dataclasses import replace

import pytest

from mindvit.classes import Classes
from mindvit.data.settings import EvalDataSettings
from mindvit.data.sources import open_source
from mindvit.errors import UserError
from mindvit.evaluation.eval_data import open_eval_data
from mindvit.models.vit_config import ViTConfig
from mindvit.weights.metadata import CheckpointMetadata

METADATA = CheckpointMetadata("vit_b_16_224", ViTConfig(num_classes=2), Classes.named(("cat", "dog")))
NOTE = "these are the images that the checkpoint was trained on"


def notes_of(metadata, **settings):
    """The data, and the notes on them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = open_eval_data(EvalDataSettings(**settings), metadata, "best.ckpt", download=False)
    return found, [str(note.message) for note in caught]


def test_images_that_the_checkpoint_was_trained_on_are_reported(make_folder, tmp_path, monkeypatch):
    root = make_folder()
    for trained, evaluated in (
        (root / "train", {}),  # A folder without splits.
        (root / "train", {"path": str(root / "train")}),
        (root, {"path": str(root / "train")}),
        (root / "train", {"path": str(root), "split": "train"}),
        (root, {"split": "train"}),
    ):
        found, notes = notes_of(replace(METADATA, data_path=str(trained)), **evaluated)
        assert found.on_training_images, (trained, evaluated)
        assert [note for note in notes if NOTE in note] == notes
        assert notes[0].startswith(str(root / "train"))
    monkeypatch.chdir(tmp_path)
    found, _ = notes_of(replace(METADATA, data_path="images/train"), path=str(root / "train"))
    assert found.on_training_images, "a relative path"


def test_other_images_are_not_taken_for_those_of_training(make_folder):
    root, other = make_folder(), make_folder("other")
    for trained, evaluated in (
        (root, {}),
        (root, {"path": str(root / "val")}),
        (root / "train", {"path": str(root)}),
        (other, {"path": str(root), "split": "train"}),
        (other / "train", {"path": str(root / "train")}),
        ("/nowhere", {"path": str(root / "train")}),
        ("x" * 5000, {"path": str(root / "train")}),
        (None, {"path": str(root / "train")}),
    ):
        found, notes = notes_of(replace(METADATA, data_path=trained and str(trained)), **evaluated)
        assert not found.on_training_images, (trained, evaluated)
        assert not notes


def test_splits_in_one_folder_are_told_apart(tmp_path):
    root = write_cifar(tmp_path / "cifar-10-batches-bin")
    metadata = replace(METADATA, data_source="cifar10", data_path=str(root))
    for path in (None, str(tmp_path)):
        assert not notes_of(metadata, path=path)[0].on_training_images
    assert notes_of(metadata, split="train")[0].on_training_images


def write_cifar(root):
    root.mkdir()
    record = bytes(1 + 3072) + bytes([1]) + bytes(3072)
    for name in [*(f"data_batch_{index}" for index in range(1, 6)), "test_batch"]:
        (root / f"{name}.bin").write_bytes(record)
    (root / "batches.meta.txt").write_text("cat\ndog\n")
    return root


def test_a_checkpoint_without_class_names_says_which_classes_it_assumes(make_folder):
    metadata = replace(METADATA, classes=None)
    found, notes = notes_of(metadata, path=str(make_folder()))
    assert found.labelled.classes.ids == ("cat", "dog")
    assert len(notes) == 1
    assert "best.ckpt has no class names, so its outputs are taken for the classes of" in notes[0]
    assert notes[0].endswith("in sorted order: cat, dog")


def test_classes_of_the_model_without_images_are_named(make_folder):
    root = make_folder(classes=("cat", "dog", "emu"))
    metadata = replace(METADATA, classes=Classes.named(("cat", "dog", "emu")))
    assert notes_of(metadata, path=str(root))[1] == []
    shutil.rmtree(root / "val/dog")
    for path in (root, root / "val"):
        found, notes = notes_of(metadata, path=str(path))
        assert found.labelled.labels.tolist() == [0, 0, 0, 2, 2, 2]
        assert len(notes) == 1 and "val has no images of 1 class (dog), of the 3 of the model" in notes[0]
    assert notes_of(metadata, path=str(root), classes=("cat", "emu"))[1] == [], "chosen"


def test_a_missing_split_is_reported_with_its_folder(make_folder):
    with pytest.raises(UserError, match="images has no val split"):
        notes_of(METADATA, path=str(make_folder(splits=("train",))))


def flat(make_folder, root, counts=10):
    """A folder without splits, and the metadata of a checkpoint that a run with data.val_fraction trained on it."""
    folder = make_folder(root, splits=("",), counts=counts)
    held_out = open_source("folder", str(folder), val_fraction=0.2, split_seed=3)
    metadata = replace(METADATA, data_path=str(folder), val_fraction=0.2, split_seed=3)
    return folder, held_out, replace(metadata, divided_data=held_out.divided)


def files(split):
    return [split.name(index) for index in range(len(split))]


def test_the_images_that_were_held_out_in_training_are_evaluated(make_folder):
    folder, held_out, metadata = flat(make_folder, "pets")
    for settings in ({}, {"path": str(folder)}):
        found, notes = notes_of(metadata, **settings)
        assert files(found.labelled) == files(held_out.val)
        assert not found.on_training_images and not notes
    found, notes = notes_of(metadata, split="train")
    assert files(found.labelled) == files(held_out.train)
    assert found.on_training_images and NOTE in notes[0]
    copy = folder.rename(folder.with_name("moved"))
    found, notes = notes_of(metadata, path=str(copy))
    assert files(found.labelled) == files(held_out.val)
    assert len(notes) == 1 and "moved has the file names of the training data; val is the split" in notes[0]


def test_held_out_images_of_some_classes_are_found_in_a_copy(make_folder):
    folder = make_folder(splits=("",), classes=("cat", "cow", "dog"), counts=10)
    held_out = open_source("folder", str(folder), val_fraction=0.2).subset(("cat", "dog"), 1)
    metadata = replace(METADATA, data_path="/nowhere", val_fraction=0.2, split_seed=0, is_class_subset=True)
    metadata = replace(metadata, divided_data=held_out.divided)
    assert files(notes_of(metadata, path=str(folder))[0].labelled) == files(held_out.val)


def test_all_images_of_another_folder_are_evaluated(make_folder):
    _, _, metadata = flat(make_folder, "pets")
    for name, counts in (("others", 11), ("one", 1)):
        found, notes = notes_of(metadata, path=str(make_folder(name, splits=("",), counts=counts)))
        assert len(found.labelled) == 2 * counts
        assert not found.on_training_images and not notes


def test_images_that_were_added_since_training_are_reported(make_folder):
    folder, _, metadata = flat(make_folder, "pets")
    shutil.copy(folder / "cat/0.png", folder / "cat/more.png")
    found, notes = notes_of(metadata)
    assert len(found.labelled) == 4 and len(notes) == 1
    assert "pets has other images than in training, so data.val_fraction may hold out others too" in notes[0]


def test_another_choice_of_held_out_images_has_images_of_training(make_folder):
    folder, _, metadata = flat(make_folder, "pets")
    assert not notes_of(metadata, val_fraction=0.2)[0].on_training_images
    for settings in ({"val_fraction": 0.3}, {"val_fraction": 0.2, "split_seed": 4}):
        found, notes = notes_of(metadata, **settings)
        assert found.on_training_images and NOTE in notes[0]
    found, notes = notes_of(METADATA, path=str(folder), val_fraction=0.3)
    assert len(found.labelled) == 6 and not notes, "the checkpoint says nothing about this folder"


def test_images_with_a_file_of_labels_are_evaluated(make_folder):
    folder = make_folder(splits=("pets",)) / "pets"
    rows = [
        (f"{name}/{index}.png", name, split)
        for name in ("cat", "dog")
        for index, split in enumerate(("train", "val", "test"))
    ]
    for file, labels in (("splits.csv", rows), ("all.csv", [row[:2] for row in rows])):
        header = "file,label,split"[: 16 if len(labels[0]) == 3 else 10]
        (folder / file).write_text("\n".join([header, *map(",".join, labels)]))
    metadata = replace(METADATA, data_path=str(folder), data_labels="splits.csv")
    for split, seen in (("train", True), ("val", False), ("test", False)):
        found, _ = notes_of(metadata, split=split)
        assert files(found.labelled) == [file for file, _, of in rows if of == split]
        assert found.on_training_images == seen, split
    found, notes = notes_of(metadata, labels=str(folder / "all.csv"))
    assert len(found.labelled) == 6 and not notes, "another file may list other images"
    found, _ = notes_of(replace(metadata, data_labels="all.csv"), labels=str(folder / "all.csv"))
    assert found.on_training_images
