import shutil
import warnings

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


def test_classes_of_val_that_train_lacks_are_reported(make_folder):
    root = make_folder(classes=("cat", "dog", "emu"))
    (root / "train/dog").rename(root / "train/Dog")
    with pytest.raises(UserError, match=r"different classes \(only in .*train: Dog; only in .*val: dog\)"):
        open_folder(root)


def test_val_may_lack_a_class_of_train_and_has_its_labels(make_folder):
    root = make_folder(classes=("cat", "dog", "emu"))
    shutil.rmtree(root / "val/dog")
    source = open_folder(root)
    assert source.val.classes == source.train.classes
    assert source.val.labels.tolist() == [0, 0, 0, 2, 2, 2]
    assert source.val.describe(3).endswith("val/emu/0.png")


def test_hidden_class_folders_with_images_are_named(make_folder):
    root = make_folder(splits=("val",), classes=("cat", "dog", ".emu"))
    (root / "val/.cache").mkdir()
    with pytest.warns(UserWarning, match=r"val: ignored the folders \.emu, with images, because"):
        assert len(open_folder(root).val) == 6


def test_classes_that_differ_in_case_only_are_named(make_folder):
    with pytest.warns(UserWarning, match="classes whose names differ in case only: Cat, cat"):
        source = open_folder(make_folder(splits=("val",), classes=("Cat", "cat", "dog")))
    assert source.val.classes.ids == ("Cat", "cat", "dog")


def test_what_is_ignored_in_class_folders_is_counted_in_one_note(make_folder):
    root = make_folder(splits=("val",))
    for index in range(12):
        (root / f"val/{('cat', 'dog')[index % 2]}/{index}.heic").touch()
    for name in ("._0.png", ".DS_Store", "notes", "a.\x1b[31m"):
        (root / "val/cat" / name).touch()
    (root / "val/dog/more").mkdir()
    with pytest.warns(UserWarning) as notes:
        assert len(open_folder(root).val) == 6
    (note,) = notes
    counts = str(note.message).removeprefix(f"{root / 'val'}: ignored in the class folders: ").split(", ")
    assert counts[0] == ".heic files (12)", "the most frequent first"
    others = [".\\x1b[31m files (1)", "files without an extension (1)", "hidden images (1)", "sub-folders (1)"]
    assert sorted(counts[1:]) == others


def test_a_folder_without_surprises_gives_no_note(make_folder):
    root = make_folder()
    (root / "train/cat/.gitkeep").touch()
    (root / "train/cat/0.png").rename(root / "train/cat/0.PNG")
    (root / "train/dog").rename(root / "dog")
    (root / "train/dog").symlink_to(root / "dog")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_folder(root).train.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_splits_with_other_names_are_named(make_folder):
    root = make_folder(splits=("train", "Validation"))
    with pytest.warns(UserWarning, match="has no folder val/, and Validation/ is not read; rename it to val"):
        assert open_folder(root).val is None
    root = make_folder("others", splits=("Train", "valid"))
    with pytest.raises(UserError, match=r"Train holds no images; .*; splits are named train and val, with one folder"):
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
    ordered = ["a.PNG", "b/10.png", "b/2.jpg", "b/c/1.webp", "b.gif", "gone.png", "z.png", "ä/狗 1.bmp"]
    assert [split.describe(index) for index in range(len(split))] == [str(root / name) for name in ordered]
    for name in colors.keys() - set(hidden):
        assert abs(split.read(ordered.index(name)).getpixel((3, 3))[0] - colors[name][0]) <= 3, name
    with pytest.raises(UserError, match=r"cannot read the image .*gone\.png"):
        split.read(ordered.index("gone.png"))
    assert split.labels.tolist() == [0] * 8
    assert split.labels.dtype == np.int32


def test_a_folder_without_images_is_reported(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UserError, match=rf"{tmp_path} has no images; supported extensions are \.bmp, "):
        open_unlabelled(tmp_path)
    with pytest.raises(UserError, match=r"the folder .*notes\.txt does not exist"):
        open_unlabelled(tmp_path / "notes.txt")
