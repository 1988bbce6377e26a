import shutil

import numpy as np
import pytest
from PIL import Image

from mindvit.classes import Classes
from mindvit.data.folder import open_folder, open_unlabelled, read_split
from mindvit.errors import UserError


def test_train_and_val_are_read_with_labels_in_order_of_class(make_folder):
    source = open_folder(make_folder(classes=("dog", "cat"), counts=3))
    assert source.train.classes.ids == ("cat", "dog")
    assert source.train.labels.tolist() == source.val.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.train.describe(4).endswith("train/dog/1.png")


def test_the_folder_of_one_split_is_read(make_folder):
    source = open_folder(make_folder() / "val")
    assert source.train is source.val
    assert len(source.val) == 6


def test_hidden_files_and_other_extensions_are_ignored(make_folder):
    root = make_folder()
    (root / "train/cat/notes.txt").write_text("x")
    (root / "train/cat/.hidden.png").write_text("x")
    (root / "train/.cache").mkdir()
    assert len(open_folder(root).train) == 6


def test_a_missing_folder_is_reported(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        open_folder(tmp_path / "nowhere")


def test_a_folder_without_class_folders_is_refused(tmp_path):
    with pytest.raises(UserError, match="no class folders"):
        open_folder(tmp_path)


def test_a_single_class_is_refused(make_folder):
    with pytest.raises(UserError, match="only one class folder, 'cat'"):
        open_folder(make_folder(classes=("cat",)))


def test_an_empty_class_is_reported(make_folder):
    root = make_folder()
    (root / "train/ant").mkdir()
    with pytest.raises(UserError, match="train/ant holds no images"):
        open_folder(root)


def test_different_classes_in_train_and_val_are_reported(make_folder):
    root = make_folder(classes=("cat", "dog", "emu"))
    shutil.rmtree(root / "val/dog")
    with pytest.raises(UserError, match=r"different classes \(only in .*train: dog\)"):
        open_folder(root)


def test_known_classes_give_the_labels(make_folder):
    split = read_split(make_folder() / "val", known=Classes.named(("ant", "cat", "cow", "dog")))
    assert split.labels.tolist() == [1, 1, 1, 3, 3, 3]


def test_folders_of_unknown_classes_are_reported(make_folder):
    with pytest.raises(UserError, match="not a known class: dog"):
        read_split(make_folder() / "val", known=Classes.named(("cat",)))


def test_relabel_maps_labels_by_class_id(make_folder):
    split = read_split(make_folder() / "val").relabel(Classes(("dog", "emu", "cat"), ("Dog", "Emu", "Cat")))
    assert split.labels.tolist() == [2, 2, 2, 0, 0, 0]
    assert split.classes.names == ("Dog", "Emu", "Cat")


def test_relabel_reports_classes_that_the_model_does_not_have(make_folder):
    with pytest.raises(UserError, match="was not trained on: dog"):
        read_split(make_folder() / "val").relabel(Classes.named(("cat", "emu")))


def test_all_images_of_a_folder_are_found_sorted_by_path(tmp_path):
    root = tmp_path / "images.png"
    colors = {}
    names = ["b/10.png", "a.PNG", "b/2.jpg", "b/c/1.webp", "ä/狗 1.bmp", "z.png", "b.gif"]
    hidden = [".x.png", ".cache/y.png", "b/.deep/w.png"]
    for number, name in enumerate([*names, *hidden]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        colors[name] = (20 * number, 0, 0)
        Image.new("RGB", (8, 8), colors[name]).save(root / name, lossless=True, quality=100)
    (root / "b/notes.txt").write_text("x")
    (root / "folder.png").mkdir()
    (root / "gone.png").symlink_to(root / "nowhere.png")
    split = open_unlabelled(root)
    ordered = ["a.PNG", "b/10.png", "b/2.jpg", "b/c/1.webp", "b.gif", "z.png", "ä/狗 1.bmp"]
    assert [split.describe(index) for index in range(len(split))] == [str(root / name) for name in ordered]
    for index, name in enumerate(ordered):
        assert abs(split.read(index).getpixel((3, 3))[0] - colors[name][0]) <= 3, name
    assert split.labels.tolist() == [0] * 7
    assert split.labels.dtype == np.int32


def test_a_folder_without_images_is_reported(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UserError, match=rf"{tmp_path} has no images; supported extensions are \.bmp, "):
        open_unlabelled(tmp_path)
    with pytest.raises(UserError, match=r"the folder .*notes\.txt does not exist"):
        open_unlabelled(tmp_path / "notes.txt")
