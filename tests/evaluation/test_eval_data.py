import shutil
import warnings
from dataclasses import replace

import pytest

from mindvit.classes import Classes
from mindvit.data.settings import EvalDataSettings
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
