import io
import time
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from mindvit.data.corrupt_images import ImageReader, CorruptImageLog, reraise_decode_errors
from mindvit.data.folder import open_folder
from mindvit.data.images import read_image
from mindvit.data.pipeline import eval_pipeline, train_pipeline
from mindvit.data.settings import AugmentSettings
from mindvit.classes import Classes
from mindvit.data.split import PADDING_LABEL, Split
from mindvit.data.sampling import SamplingPlan
from mindvit.errors import UserError
from mindvit.models import Preprocessing, ViTConfig

MODEL = ViTConfig(image_size=8, patch_size=4, preprocessing=Preprocessing((0.5,) * 3, (0.25,) * 3, crop_pct=1.0))
AUGMENT = AugmentSettings(flip=True)
DAMAGES = ["no image", "cut off", "cut in the middle", "missing"]


def jpegs(count, damaged=(), damage="cut in the middle"):
    """A split of JPEGs whose image i is gray of the value 8 i and labelled i."""

    def read(index):
        noise = np.random.default_rng(index).integers(-3, 4, (48, 48, 3))
        file = io.BytesIO()
        Image.fromarray((8 * index + 3 + noise).astype(np.uint8)).save(file, "JPEG", quality=95)
        data = np.frombuffer(file.getvalue(), np.uint8)
        if index not in damaged:
            return read_image(io.BytesIO(data), str(index))
        if damage == "missing":
            raise UserError(f"cannot read the image {index}: No such file or directory")
        damages = {
            "no image": np.frombuffer(b"hello", np.uint8),
            "cut off": data[:80],
            "cut in the middle": data[: 700 + (len(data) - 700) // 2],  # Behind the header, which takes 623 bytes.
        }
        return read_image(io.BytesIO(damages[damage]), str(index))

    return Split(
        origin="the shelf",
        classes=Classes.named(tuple(map(str, range(count)))),
        labels=np.arange(count, dtype=np.int32),
        read=read,
        describe=lambda index: f"shelf/{index}.jpg",
    )


def rows(dataset):
    """The images and labels of an epoch."""
    epoch = list(dataset.create_dict_iterator(num_epochs=1, output_numpy=True))
    return [np.concatenate([batch[name] for batch in epoch]) for name in ("image", "label")]


def train(split, skipped=None, num_workers=1, repeats=1):
    return train_pipeline(split, MODEL, AUGMENT, SamplingPlan(len(split), 4, 0, repeats), num_workers, 0, skipped)


def test_a_damaged_image_is_noted_once_and_listed(tmp_path):
    skipped = CorruptImageLog(tmp_path / "corrupt_images.txt")
    assert not (tmp_path / "corrupt_images.txt").exists(), "there is no list of nothing"
    for where, why in (("b.jpg", "first"), ("a.jpg", "second"), ("b.jpg", "third")):
        skipped.note(where, why)
    assert skipped.found == {"a.jpg", "b.jpg"}
    assert (tmp_path / "corrupt_images.txt").read_text() == "b.jpg\tfirst\na.jpg\tsecond\n"


def test_two_threads_that_find_a_image_together_list_it_once(tmp_path):
    class Slow(str):
        def __hash__(self):
            time.sleep(0.02)  # Lets the other thread in between looking and noting.
            return super().__hash__()

    skipped = CorruptImageLog(tmp_path / "corrupt_images.txt")
    threads = [Thread(target=skipped.note, args=(Slow("a.jpg"), "why")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "corrupt_images.txt").read_text() == "a.jpg\twhy\n"


def test_a_name_that_is_not_utf_8_is_listed(tmp_path):
    name = b"\xff.jpg"
    CorruptImageLog(tmp_path / "corrupt_images.txt").note(name.decode("utf-8", "surrogateescape"), "why")
    assert (tmp_path / "corrupt_images.txt").read_bytes() == name + b"\twhy\n"


def test_without_a_file_damaged_images_are_only_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    skipped = CorruptImageLog()
    skipped.note("a.jpg", "why")
    assert skipped.found == {"a.jpg"} and not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_next_sound_image_and_its_label_stand_in(damage):
    skipped = CorruptImageLog()
    readable = ImageReader(jpegs(6, damaged=(0, 2, 3, 5), damage=damage), skipped)
    for index, expected in ((5, 1), (1, 1), (2, 4), (3, 4), (4, 4), (0, 1)):
        image, label = readable.next_readable(index)
        assert label == expected
        np.testing.assert_allclose(np.asarray(image).mean(), 8 * expected + 3, atol=1)
    assert skipped.found == {"shelf/0.jpg", "shelf/2.jpg", "shelf/3.jpg", "shelf/5.jpg"}


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_skipping_the_damaged_image_raises(damage):
    readable = ImageReader(jpegs(6, damaged=(2,), damage=damage))
    assert readable.next_readable(1)[1] == 1
    with pytest.raises(UserError, match="2"):
        readable.next_readable(2)


def test_a_split_without_a_sound_image_is_refused():
    skipped = CorruptImageLog()
    with pytest.raises(UserError, match="the shelf has no image that can be decoded"):
        ImageReader(jpegs(5, damaged=range(5)), skipped).next_readable(3)
    assert len(skipped.found) == 5


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("damage", DAMAGES)
def test_training_skips_damaged_images(tmp_path, damage, num_workers):
    skipped = CorruptImageLog(tmp_path / "corrupt_images.txt")
    images, labels = rows(train(jpegs(12, damaged=(4, 11), damage=damage), skipped, num_workers))
    assert sorted(labels) == [0, 0, 1, 2, 3, 5, 5, 6, 7, 8, 9, 10]
    np.testing.assert_allclose(images.mean((1, 2, 3)), ((8 * labels + 3) / 255 - 0.5) / 0.25, atol=0.02)
    assert skipped.found == {"shelf/4.jpg", "shelf/11.jpg"}
    lines = (tmp_path / "corrupt_images.txt").read_text().splitlines()
    assert sorted(line.split("\t")[0] for line in lines) == ["shelf/11.jpg", "shelf/4.jpg"]


def test_a_damaged_image_is_listed_once_however_often_it_is_visited(tmp_path):
    skipped = CorruptImageLog(tmp_path / "corrupt_images.txt")
    iterator = train(jpegs(12, damaged=(4,)), skipped, 2, repeats=3).create_dict_iterator(num_epochs=6)
    visits = sum(int(batch["label"].asnumpy().size) for _ in range(6) for batch in iterator)
    assert visits == 72
    assert len((tmp_path / "corrupt_images.txt").read_text().splitlines()) == 1


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("damage", DAMAGES)
def test_evaluation_leaves_damaged_images_out(tmp_path, monkeypatch, damage, world_size):
    monkeypatch.chdir(tmp_path)
    whole = rows(eval_pipeline(jpegs(10), MODEL, 4, 1))[0]
    skipped, seen = CorruptImageLog(), []
    for rank in range(world_size):
        split = jpegs(10, damaged=(0, 7), damage=damage)
        images, labels = rows(eval_pipeline(split, MODEL, 4, 2, rank, world_size, skipped))
        assert len(labels) % 4 == 0
        real = labels != PADDING_LABEL
        np.testing.assert_array_equal(images[real], whole[labels[real]])
        seen += labels[real].tolist()
    assert sorted(seen) == [1, 2, 3, 4, 5, 6, 8, 9]
    assert skipped.found == {"shelf/0.jpg", "shelf/7.jpg"}
    assert not list(tmp_path.iterdir()), "nothing is left behind"


@pytest.mark.parametrize("content", ["hello", "truncated"])
def test_a_damaged_image_is_named_and_nothing_is_left_behind(make_folder, tmp_path, monkeypatch, content):
    root = make_folder(counts=8)
    bad = root / "train/dog/5.png"
    bad.write_bytes(b"hello" if content == "hello" else bad.read_bytes()[:80])
    monkeypatch.chdir(tmp_path)
    split = open_folder(root).train
    for pipeline in (train(split), eval_pipeline(split, MODEL, 4, 1)):
        with pytest.raises(UserError, match=r"train/dog/5\.png"), reraise_decode_errors(split):
            rows(pipeline)
        assert not (tmp_path / "abnormal_image.jpg").exists()


def test_a_run_over_nothing_but_damaged_images_ends_with_a_sentence():
    split = jpegs(5, damaged=range(5))
    with pytest.raises(UserError, match="the shelf has no image that can be decoded"), reraise_decode_errors(split):
        rows(train(split, CorruptImageLog()))


def test_an_error_that_no_image_explains_passes_through(make_folder):
    split = open_folder(make_folder()).train
    with pytest.raises(RuntimeError, match="something else"), reraise_decode_errors(split):
        rows(eval_pipeline(split, MODEL, 4, 1))
        raise RuntimeError("something else")
