import json
import shutil
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor

import mindspore.dataset as ds
import numpy as np
import pytest
from PIL import Image

from mindvit.data.corrupt_images import CorruptImageLog
from mindvit.data.mindrecord import reader
from mindvit.data.mindrecord.reader import open_mindrecord
from mindvit.data.pipeline import eval_pipeline, train_pipeline
from mindvit.data.sampling import SamplingPlan
from mindvit.data.settings import AugmentSettings
from mindvit.data.sources import open_source
from mindvit.data.split import PADDING_LABEL
from mindvit.errors import UserError
from mindvit.models import ViTConfig
from tests.data.mindrecord.conftest import convert, write_images

MODEL = ViTConfig(image_size=8, patch_size=4)
EVERYTHING = AugmentSettings(flip=True, auto_augment="randaugment", color_jitter=0.3, random_erasing=0.5, mixup=0.8)


def sources(images, shards):
    return open_source("folder", str(images)), open_source("mindrecord", str(shards))


def batches(pipeline, epochs=1):
    iterator = pipeline.create_dict_iterator(num_epochs=epochs, output_numpy=True)
    return [batch for _ in range(epochs) for batch in iterator]


def assert_same(one, other):
    assert len(one) == len(other) > 0
    for batch, expected in zip(one, other, strict=True):
        assert tuple(batch) == tuple(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(batch[name], values, err_msg=name)


def test_images_labels_and_order_equal_those_of_the_folder(images, shards):
    folder, source = sources(images, shards)
    for name in ("train", "val"):
        split, expected = getattr(source, name), getattr(folder, name)
        assert split.classes == expected.classes
        assert split.flip is True
        assert split.labels.dtype == np.int32
        assert split.labels.tolist() == expected.labels.tolist() == [0] * 5 + [1] * 4 + [2] * 2
        for index in range(11):
            np.testing.assert_array_equal(np.asarray(split.read(index)), np.asarray(expected.read(index)))


def test_the_splits_of_a_labels_file_and_held_out_images_become_shards(tmp_path):
    root = write_images(tmp_path / "images", splits=("",))
    files = sorted(path.relative_to(root) for path in root.rglob("*.*"))
    rows = [
        f'"{str(file).replace(chr(34), chr(34) * 2)}",{file.parts[0]},{("train", "test")[i % 2]}'
        for i, file in enumerate(files)
    ]
    (root / "labels.csv").write_text("\n".join(["file,label,split", *rows]))
    chosen = {"labels": "labels.csv", "val_fraction": 0.3, "split_seed": 1}
    folder = open_source("folder", str(root), **chosen)
    source = open_source("mindrecord", str(convert(root, tmp_path / "shards", **chosen)))
    for name, count in (("train", 4), ("val", 2), ("test", 5)):
        split, expected = getattr(source, name), getattr(folder, name)
        assert len(split) == len(expected) == count
        assert split.labels.tolist() == expected.labels.tolist()
        for index in range(count):
            np.testing.assert_array_equal(np.asarray(split.read(index)), np.asarray(expected.read(index)))


def test_an_image_is_described_by_its_shard_and_its_file(shards):
    train = open_mindrecord(shards).train
    # 11 images in 3 shards: 3, 4 and 4.
    names = [train.describe(index) for index in (0, 2, 3, 6, 7, 10)]
    where = [f"{shards}/train/train-0000{number}-of-00003.mindrecord: " for number in (0, 0, 1, 1, 2, 2)]
    files = ["cat/0.png", "cat/an 'odd' \"name\"; 狗.webp", "cat/rotated.JPG", "dog/1.jpg"]
    files += ["dog/an 'odd' \"name\"; 狗.webp", "emu/1.jpg"]
    assert names == [start + file for start, file in zip(where, files, strict=True)]


@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (0, 2), (1, 2)])
def test_training_batches_equal_those_of_the_folder_bit_for_bit(images, shards, rank, world_size):
    made = []
    for source in sources(images, shards):
        plan = SamplingPlan(len(source.train), 2, 7, rank=rank, world_size=world_size)
        pipeline = train_pipeline(source.train, MODEL, EVERYTHING, plan, num_workers=2, first_step=1)
        made.append(batches(pipeline, epochs=3))
    assert_same(made[1], made[0])


@pytest.mark.parametrize("rank", [0, 1])
def test_evaluation_batches_equal_those_of_the_folder_bit_for_bit(images, shards, rank):
    made = [batches(eval_pipeline(source.val, MODEL, 4, 2, rank, 2)) for source in sources(images, shards)]
    assert_same(made[1], made[0])


def test_mind_dataset_reads_the_files_of_the_folder(images, shards):
    files = sorted(str(path) for path in (shards / "train").glob("*.mindrecord"))
    rows = list(ds.MindDataset(files, shuffle=False).create_dict_iterator(num_epochs=1, output_numpy=True))
    train = open_source("folder", str(images)).train
    assert [int(row["label"]) for row in rows] == train.labels.tolist()
    names = [train.describe(index) for index in range(len(train))]
    assert [f"{images}/train/{row['file']}" for row in rows] == names
    for row, name in zip(rows, names, strict=True):
        with open(name, "rb") as file:
            assert row["data"].tobytes() == file.read()


def test_threads_read_in_parallel_with_few_open_files(shards, monkeypatch):
    monkeypatch.setattr(reader, "_OPEN_FILES", 1)
    train = open_mindrecord(shards).train
    sequential = [train.read(index).tobytes() for index in range(11)]
    order = np.random.default_rng(0).integers(0, 11, 2000).tolist()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # Switches threads as often as possible.
    try:
        with ThreadPoolExecutor(8) as pool:
            parallel = list(pool.map(lambda index: train.read(index).tobytes(), order))
    finally:
        sys.setswitchinterval(interval)
    assert parallel == [sequential[index] for index in order]


def test_a_subset_of_imagenet_keeps_the_labels_of_all_classes(tmp_path):
    root = write_images(tmp_path / "in", classes=("n02107142", "n01440764"), counts=(1, 2))
    source = open_mindrecord(convert(root, tmp_path / "out", source="imagenet"))
    assert source.train.labels.tolist() == source.val.labels.tolist() == [0, 0, 236]
    assert len(source.train.classes) == 1000
    assert source.train.classes.names[236] == "Doberman"


def test_digits_disable_the_flip(tmp_path):
    source = open_mindrecord(convert(tmp_path / "digits", tmp_path / "out", source="digits"))
    assert (source.train.flip, source.val.flip) == (False, False)
    assert (len(source.train), len(source.val)) == (1437, 360)


def test_a_source_without_train_and_val_is_both_splits(tmp_path):
    root = write_images(tmp_path / "in", splits=("val",))
    source = open_mindrecord(convert(root / "val", tmp_path / "out"))
    assert source.train is source.val
    assert source.train.describe(0) == f"{tmp_path}/out/all/all-00000-of-00001.mindrecord: cat/0.png"


def test_a_source_with_one_split_has_only_this_split(tmp_path):
    root = write_images(tmp_path / "in", splits=("val",))
    source = open_mindrecord(convert(root, tmp_path / "out"))
    assert source.train is None
    assert len(source.val) == 11


def test_a_corrupt_image_is_reported_or_skipped_like_in_a_folder(tmp_path):
    root = write_images(tmp_path / "in")
    (root / "val/dog/1.jpg").write_bytes(b"hello")
    val = open_mindrecord(convert(root, tmp_path / "out", shards=2)).val
    where = f"{tmp_path}/out/val/val-00001-of-00002.mindrecord: dog/1.jpg"
    with pytest.raises(UserError, match=f"^{where} is not an image"):
        val.read(6)
    log = CorruptImageLog()
    (batch,) = batches(eval_pipeline(val, MODEL, 11, 1, corrupt=log))
    assert batch["label"].tolist() == [0] * 5 + [1, PADDING_LABEL, 1, 1] + [2] * 2
    assert log.found == {where}


def test_names_that_are_not_utf_8_are_replaced_by_readable_ones(tmp_path):
    root = write_images(tmp_path / "in")
    (root / "train/cat/0.png").rename(root / "train/cat" / b"0\xff.png".decode("utf-8", "surrogateescape"))
    train = open_mindrecord(convert(root, tmp_path / "out")).train
    assert train.describe(0).endswith("cat/0�.png")
    assert train.read(0).size == Image.open(next(iter((root / "train/cat").glob("0*")))).size


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def edit(path, key, value):
    stored = json.loads(path.read_text())
    stored[key] = value
    path.write_text(json.dumps(stored))


def mark_unfinished(path):
    stored = json.loads(path.read_text())
    stored["splits"]["val"][1]["data"] = None
    path.write_text(json.dumps(stored))


def change_count(path):
    stored = json.loads(path.read_text())
    stored["splits"]["train"][0]["count"] = 2
    path.write_text(json.dumps(stored))


SECOND = "train/train-00001-of-00003.mindrecord"


@pytest.mark.parametrize(
    ("corrupt", "words"),
    [
        (shutil.rmtree, r"data folder .*/out does not exist; set --data\.path to the output of scripts/convert"),
        (lambda out: (out / "manifest.json").unlink(), r"/out has no manifest\.json, so it is not a conversion of"),
        (lambda out: edit(out / "manifest.json", "format", 2), r"written by a newer version \(format 2\); update"),
        (
            lambda out: (out / "manifest.json").write_text("{"),
            r"manifest\.json is corrupt .*; run the conversion again with",
        ),
        (
            lambda out: mark_unfinished(out / "manifest.json"),
            r"/out is not finished: it has 5 of 6 shards; run it again to resume",
        ),
        (lambda out: (out / SECOND).unlink(), rf"{SECOND} is missing; copy it again, or run the conversion again"),
        (lambda out: (out / f"{SECOND}.db").unlink(), rf"{SECOND}\.db is missing; copy it again"),
        (lambda out: truncate(out / SECOND), rf"{SECOND} is corrupt: it has [\d,]+ bytes instead of [\d,]+; copy"),
        (lambda out: truncate(out / f"{SECOND}.db"), rf"{SECOND}\.db is corrupt: it has [\d,]+ bytes instead of"),
        (
            lambda out: change_count(out / "manifest.json"),
            r"train-00000-of-00003\.mindrecord has more images, but the manifest says 2; run the conversion again with",
        ),
    ],
)
def test_an_invalid_conversion_is_reported_on_opening(copy, corrupt, words):
    corrupt(copy)
    with pytest.raises(UserError, match=words):
        open_mindrecord(copy)


def test_other_bytes_at_the_offset_of_an_image_are_reported(copy):
    path = copy / SECOND
    train = open_mindrecord(copy).train
    with sqlite3.connect(f"{path}.db") as index:
        page, start = index.execute("SELECT PAGE_ID_BLOB, PAGE_OFFSET_BLOB FROM INDEXES WHERE ROW_ID = 2").fetchone()
    assert page == 0
    with open(path, "r+b") as file:
        file.seek(2**20 + start)
        file.write(b"\xff")
    with pytest.raises(UserError, match=rf"{SECOND}: dog/0\.png is corrupt: .*find all corrupt shards with .*--verify"):
        train.read(5)
    train.read(4)


def test_a_shard_that_is_truncated_while_it_is_read_is_reported(copy):
    train = open_mindrecord(copy).train
    (copy / SECOND).write_bytes((copy / SECOND).read_bytes()[: 2**20 + 100])
    with pytest.raises(UserError, match=rf"{SECOND}: dog/1\.jpg is corrupt"):
        train.read(6)
    (copy / "train/train-00002-of-00003.mindrecord").unlink()
    with pytest.raises(UserError, match=r"cannot read the image .*train-00002.*emu/1\.jpg: No such file"):
        train.read(10)
