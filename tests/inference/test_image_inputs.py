import os
from pathlib import Path

import pytest

from mindvit.errors import UserError
from mindvit.inference.image_inputs import find_inputs


@pytest.fixture
def photos(tmp_path):
    names = ["b.png", "a.JPG", "猫.webp", "sub/c.tif", "sub/deep/d.gif", "clip.mp4", "notes.txt", ".hidden.png"]
    for name in [*names, ".cache/x.png", "it's [1].png", "empty/readme.md"]:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def relative(found):
    return [file.relative for file in found]


def test_a_folder_is_searched_with_its_sub_folders_in_a_fixed_order(photos):
    found, empty = find_inputs([str(photos)])
    assert relative(found) == ["a.JPG", "b.png", "clip.mp4", "it's [1].png", "猫.webp", "sub/c.tif", "sub/deep/d.gif"]
    assert not empty
    assert [file.is_video for file in found].index(True) == 2
    assert all(Path(file.path).exists() for file in found)


def test_a_pattern_finds_images_in_sub_folders(photos):
    found, _ = find_inputs([f"{photos}/**/*.[tg]if"])
    assert relative(found) == ["sub/c.tif", "sub/deep/d.gif"], "below the folder that the pattern begins with"
    found, _ = find_inputs([f"{photos}/*"])
    assert relative(found) == [
        "a.JPG", "b.png", "clip.mp4", "it's [1].png", "sub/c.tif", "sub/deep/d.gif", "猫.webp",
    ]  # fmt: skip


def test_a_file_with_the_letters_of_a_pattern_in_its_name_is_a_file(photos):
    found, _ = find_inputs([str(photos / "it's [1].png")])
    assert relative(found) == ["it's [1].png"]


def test_a_named_file_is_taken_whatever_it_is_called(photos):
    found, empty = find_inputs([str(photos / "notes.txt"), str(photos / "missing.png")])
    assert relative(found) == ["notes.txt", "missing.png"], "reading them says what is wrong"
    assert not empty


def test_a_file_is_taken_once(photos):
    found, _ = find_inputs([str(photos / "b.png"), str(photos), f"{photos}/./b.png", f"{photos}/*.png"])
    assert relative(found)[0] == "b.png"
    assert len(found) == 7


def test_where_nothing_is_found_it_is_said(photos):
    found, empty = find_inputs([str(photos / "empty"), f"{photos}/*.bmp"])
    assert not found
    assert [entry.file for entry in empty] == [str(photos / "empty"), f"{photos}/*.bmp"]
    assert "has no images or videos; images have .bmp" in empty[0].reason


def test_the_folder_of_the_results_is_not_searched(photos):
    found, _ = find_inputs([str(photos)], omit=photos / "sub")
    assert "sub/c.tif" not in relative(found)


def test_a_name_that_is_not_utf_8_is_found(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).touch()
    found, _ = find_inputs([str(tmp_path)])
    assert relative(found) == [name]


@pytest.mark.parametrize("path", ["", "a\0b.png"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(UserError, match="needs the paths"):
        find_inputs([path])
