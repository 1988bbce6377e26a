import numpy as np
import pytest
from PIL import Image

from mindvit.data.labels_file import open_labels
from mindvit.data.sources import open_source
from mindvit.errors import UserError

FILES = ["a.png", "b.png", "c.png", "sub/d.png", "sub/e, 2.png", "f.png"]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for value, name in enumerate(FILES):
        Image.new("L", (4, 4), value).save(folder / name)
    return folder


def write(folder, text, encoding="utf-8"):
    (folder / "labels.csv").write_bytes(text.encode(encoding))
    return open_labels(folder, "labels.csv")


def values(split):
    """The gray value and the class of each image."""
    names = [split.classes.ids[label] for label in split.labels]
    return {(split.read(index).getpixel((0, 0))[0], name) for index, name in enumerate(names)}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_and_labels_are_read(images, encoding, end):
    rows = ["file,label", "b.png, 猫", "a.png,dog", "", "./sub/d.png,dog", '"sub/e, 2.png",猫']
    source = write(images, end.join(rows), encoding)
    assert source.is_unsplit and source.test is None
    assert source.train.classes.names == ("dog", "猫")
    assert values(source.train) == {(1, "猫"), (0, "dog"), (3, "dog"), (4, "猫")}
    assert source.train.describe(0) == str(images / "a.png")
    assert source.train.labels.dtype == np.int32


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_in_any_order_and_other_columns(images, delimiter):
    rows = [("Split", "width", "Label", "File"), ("train", "4", "x", "a.png"), ("VAL", "4", "y", "b.png")]
    rows += [("train", "", "y", "c.png"), ("test", "4", "x", "f.png")]
    source = write(images, "\n".join(delimiter.join(row) for row in rows))
    assert [values(split) for split in (source.train, source.val, source.test)] == [
        {(0, "x"), (2, "y")},
        {(1, "y")},
        {(5, "x")},
    ]


def test_an_empty_column_of_splits_means_no_splits(images):
    assert write(images, "file,label,split\na.png,x,\nb.png,y,\n").is_unsplit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"the first line of .*labels\.csv must name the columns file,label or file,label,split; it is ''"),
        ("a.png,x\nb.png,y", "must name the columns file,label .*; it is 'a.png,x'"),
        ("file,label,label\na.png,x,y", "must name the columns"),
        ("file,label", "list no images"),
        ("file,label\na.png,x\nb.png,", r"^line 3 of .*labels\.csv has no label$"),
        ("file,label\na.png,x\nb.png", "line 3 .* has no label$"),
        ("file,label\n,x", "line 2 .* has no file$"),
        ("file,label\na.png,x,y", "line 2 .* has more values than the first line has columns"),
        ("file,label\na.png,x\nb.png,y\n./a.png,x", "lines 2 and 4 .* both name a.png; remove one"),
        ("file,label\na.png,x\nno.png,y\nnor.png,y", r"line 3 .*: 2 files are missing in .*images: no.png, nor.png$"),
        ("file,label\na.png,x\nsub\\d.png,y", r"line 3 .*: 1 file is missing .*write paths with / instead of \\$"),
        ("file,label\nsub,x\nb.png,y", "line 2 .*: 1 file is missing in .*: sub"),
        ("file,label\na.png,x\nsub/../../b.png,y", "line 3 .*: sub/../../b.png is not inside .*images"),
        ("file,label\n/etc/passwd,x", "line 2 .*: /etc/passwd is not inside .*images"),
        ("file,label\n..,x", r"line 2 .*: \.\. is not inside .*images"),
        ("file,label\na\0.png,x", r"line 2 .*: a\\x00.png is not inside .*images"),
        ("file,label\na.png,x\nb.png,x", "has only one class, 'x'; training needs at least two"),
        ("file,label,split\na.png,x,train\nb.png,y,dev", "line 3 .* has the split 'dev'; .* one of train, val, test"),
        ("file,label,split\na.png,x,train\nb.png,y,", "line 3 .* has no split; give every row one"),
        (
            "file,label,split\na.png,x,train\nb.png,y,train\nc.png,z,val",
            "line 4 .*: the class 'z' of val has no training images",
        ),
        ('file,label\na.png,"x\nb.png,y', "is not CSV"),
    ],
)
def test_mistakes_are_named(images, text, words):
    with pytest.raises(UserError, match=words):
        write(images, text)


def test_another_encoding_is_reported(images):
    with pytest.raises(UserError, match=r"are not UTF-8; save the file as CSV UTF-8"):
        write(images, "file,label\na.png,café\nb.png,x", "latin-1")
    with pytest.raises(UserError, match=r"are not UTF-8"):
        write(images, "file,label\na.png,y\nb.png,x", "utf-16")


def test_absolute_paths_inside_the_folder_are_accepted(images):
    assert values(write(images, f"file,label\n{images}/a.png,x\n{images}/b.png,y").train) == {(0, "x"), (1, "y")}


def test_the_file_is_found_here_or_in_the_folder_of_the_images(images, tmp_path, monkeypatch):
    write(images, "file,label\na.png,x\nb.png,y")
    (images / "labels.csv").rename(tmp_path / "mine.csv")
    monkeypatch.chdir(tmp_path)
    assert len(open_source("folder", "images", labels="mine.csv").train) == 2
    with pytest.raises(UserError, match=r"cannot read the labels no.csv: No such file"):
        open_source("folder", "images", labels="no.csv")
    with pytest.raises(UserError, match=r"data\.labels is for data\.source folder; the source imagenet has"):
        open_source("imagenet", "images", labels="mine.csv")
