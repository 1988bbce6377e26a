import shutil

import pytest

from mindvit.data.folder import open_folder, read_split
from mindvit.data.split import Classes
from mindvit.errors import UserError


def test_train_and_val_are_read_with_labels_in_order_of_class(make_folder):
    source = open_folder(make_folder(classes=("dog", "cat"), counts=3))
    assert source.train.classes.ids == ("cat", "dog")
    assert source.train.labels.tolist() == source.val.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.train.describe(4).endswith("train/dog/1.png")


def test_one_splits_folder_is_read(make_folder):
    source = open_folder(make_folder() / "val")
    assert source.train is source.val
    assert len(source.val) == 6


def test_hidden_files_and_other_kinds_are_passed_over(make_folder):
    root = make_folder()
    (root / "train/cat/notes.txt").write_text("x")
    (root / "train/cat/.hidden.png").write_text("x")
    (root / "train/.cache").mkdir()
    assert len(open_folder(root).train) == 6


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        open_folder(tmp_path / "nowhere")


def test_a_folder_without_class_folders_is_refused(tmp_path):
    with pytest.raises(UserError, match="no class folders"):
        open_folder(tmp_path)


def test_a_single_class_is_refused(make_folder):
    with pytest.raises(UserError, match="only one class folder, 'cat'"):
        open_folder(make_folder(classes=("cat",)))


def test_an_empty_class_is_named(make_folder):
    root = make_folder()
    (root / "train/ant").mkdir()
    with pytest.raises(UserError, match="train/ant holds no pictures"):
        open_folder(root)


def test_different_classes_in_train_and_val_are_named(make_folder):
    root = make_folder(classes=("cat", "dog", "emu"))
    shutil.rmtree(root / "val/dog")
    with pytest.raises(UserError, match=r"different classes \(only in .*train: dog\)"):
        open_folder(root)


def test_known_classes_give_the_labels(make_folder):
    split = read_split(make_folder() / "val", known=Classes.named(("ant", "cat", "cow", "dog")))
    assert split.labels.tolist() == [1, 1, 1, 3, 3, 3]


def test_folders_that_are_no_known_class_are_named(make_folder):
    with pytest.raises(UserError, match="no known class: dog"):
        read_split(make_folder() / "val", known=Classes.named(("cat",)))


def test_relabelling_follows_the_names(make_folder):
    split = read_split(make_folder() / "val").relabel(Classes(("dog", "emu", "cat"), ("Dog", "Emu", "Cat")))
    assert split.labels.tolist() == [2, 2, 2, 0, 0, 0]
    assert split.classes.names == ("Dog", "Emu", "Cat")


def test_relabelling_names_the_classes_that_a_model_does_not_have(make_folder):
    with pytest.raises(UserError, match="was not trained on: dog"):
        read_split(make_folder() / "val").relabel(Classes.named(("cat", "emu")))
