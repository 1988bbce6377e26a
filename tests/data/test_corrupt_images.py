import io
import time
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from mindvit.classes import Classes
from mindvit.data.corrupt_images import CorruptImageLog, ImageReader, reraise_decode_errors
from mindvit.data.folder import open_folder
from mindvit.data.images import read_image
from mindvit.data.pipeline import eval_pipeline, train_pipeline
from mindvit.data.sampling import SamplingPlan
from mindvit.data.settings import AugmentSettings
from mindvit.data.split import PADDING_LABEL, Split
from mindvit.errors import UserError
from mindvit.models import Preprocessing, ViTConfig

MODEL = ViTConfig(image_size=8, patch_size=4, preprocessing=Preprocessing((0.5,) * 3, (0.25,) * 3, crop_pct=1.0))
AUGMENT = AugmentSettings(flip=True)
CORRUPTIONS = ["no image", "header only", "truncated", "missing"]


def jpegs(count, corrupt=(), corruption="truncated"):
    """A split of JPEGs. Image i is gray with the value 8 i and has the label i."""

    def read(index):
        noise = np.random.default_rng(index).integers(-3, 4, (48, 48, 3))
        file = io.BytesIO()
        Image.fromarray((8 * index + 3 + noise).astype(np.uint8)).save(file, "JPEG", quality=95)
        data = np.frombuffer(file.getvalue(), np.uint8)
        if index not in corrupt:
            return read_image(io.BytesIO(data), str(index))
        if corruption == "missing":
            raise UserError(f"cannot read the image {index}: No such file or directory")
        contents = {
            "no image": np.frombuffer(b"hello", np.uint8),
            "header only": data[:80],
            "truncated": data[: 700 + (len(data) - 700) // 2],  # Behind the header of 623 bytes.
        }
        return read_image(io.BytesIO(contents[corruption]), str(index))

    return Split(
        origin="the folder",
        classes=Classes.named(tuple(map(str, range(count)))),
        labels=np.arange(count, dtype=np.int32),
        read=read,
        describe=lambda index: f"folder/{index}.jpg",
    )


def rows(dataset):
    """The images and labels of an epoch."""
    epoch = list(dataset.create_dict_iterator(num_epochs=1, output_numpy=True))
    return [np.concatenate([batch[name] for batch in epoch]) for name in ("image", "label")]


def train(split, log=None, num_workers=1, repeated_aug=1):
    return train_pipeline(split, MODEL, AUGMENT, SamplingPlan(len(split), 4, 0, repeated_aug), num_workers, 0, log)


def test_a_corrupt_image_is_logged_once(tmp_path):
    log = CorruptImageLog(tmp_path / "corrupt_images.txt")
    assert not (tmp_path / "corrupt_images.txt").exists(), "the file is written at the first corrupt image"
    for where, why in (("b.jpg", "first"), ("a.jpg", "second"), ("b.jpg", "third")):
        log.add(where, why)
    assert log.found == {"a.jpg", "b.jpg"}
    assert (tmp_path / "corrupt_images.txt").read_text() == "b.jpg\tfirst\na.jpg\tsecond\n"


def test_a_log_that_cannot_be_written_is_reported_in_place_of_the_image(tmp_path):
    split = jpegs(4, corrupt=[1])
    words = r"cannot write .*corrupt_images\.txt: its folder does not exist$"
    with pytest.raises(UserError, match=words), reraise_decode_errors(split):
        rows(train(split, CorruptImageLog(tmp_path / "deleted/corrupt_images.txt")))


def test_two_threads_that_find_the_same_image_log_it_once(tmp_path):
    class Slow(str):
        def __hash__(self):
            time.sleep(0.02)  # Lets another thread run between the check and the write.
            return super().__hash__()

    log = CorruptImageLog(tmp_path / "corrupt_images.txt")
    threads = [Thread(target=log.add, args=(Slow("a.jpg"), "why")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "corrupt_images.txt").read_text() == "a.jpg\twhy\n"


def test_a_name_that_is_not_utf_8_is_logged(tmp_path):
    name = b"\xff.jpg"
    CorruptImageLog(tmp_path / "corrupt_images.txt").add(name.decode("utf-8", "surrogateescape"), "why")
    assert (tmp_path / "corrupt_images.txt").read_bytes() == name + b"\twhy\n"


def test_without_a_file_corrupt_images_are_only_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = CorruptImageLog()
    log.add("a.jpg", "why")
    assert log.found == {"a.jpg"} and not list(tmp_path.iterdir())


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_the_next_readable_image_replaces_a_corrupt_one(corruption):
    log = CorruptImageLog()
    reader = ImageReader(jpegs(6, corrupt=(0, 2, 3, 5), corruption=corruption), log)
    for index, expected in ((5, 1), (1, 1), (2, 4), (3, 4), (4, 4), (0, 1)):
        image, label = reader.next_readable(index)
        assert label == expected
        np.testing.assert_allclose(np.asarray(image).mean(), 8 * expected + 3, atol=1)
    assert log.found == {"folder/0.jpg", "folder/2.jpg", "folder/3.jpg", "folder/5.jpg"}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_without_a_log_a_corrupt_image_raises_an_error(corruption):
    reader = ImageReader(jpegs(6, corrupt=(2,), corruption=corruption))
    assert reader.next_readable(1)[1] == 1
    with pytest.raises(UserError, match="2"):
        reader.next_readable(2)


def test_a_split_without_a_readable_image_is_refused():
    log = CorruptImageLog()
    with pytest.raises(UserError, match="the folder has no image that can be decoded"):
        ImageReader(jpegs(5, corrupt=range(5)), log).next_readable(3)
    assert len(log.found) == 5


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_training_skips_corrupt_images(tmp_path, corruption, num_workers):
    log = CorruptImageLog(tmp_path / "corrupt_images.txt")
    images, labels = rows(train(jpegs(12, corrupt=(4, 11), corruption=corruption), log, num_workers))
    assert sorted(labels) == [0, 0, 1, 2, 3, 5, 5, 6, 7, 8, 9, 10]
    np.testing.assert_allclose(images.mean((1, 2, 3)), ((8 * labels + 3) / 255 - 0.5) / 0.25, atol=0.02)
    assert log.found == {"folder/4.jpg", "folder/11.jpg"}
    lines = (tmp_path / "corrupt_images.txt").read_text().splitlines()
    assert sorted(line.split("\t")[0] for line in lines) == ["folder/11.jpg", "folder/4.jpg"]


def test_a_corrupt_image_is_logged_once_in_several_epochs(tmp_path):
    log = CorruptImageLog(tmp_path / "corrupt_images.txt")
    iterator = train(jpegs(12, corrupt=(4,)), log, 2, repeated_aug=3).create_dict_iterator(num_epochs=6)
    samples = sum(int(batch["label"].asnumpy().size) for _ in range(6) for batch in iterator)
    assert samples == 72
    assert len((tmp_path / "corrupt_images.txt").read_text().splitlines()) == 1


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_evaluation_skips_corrupt_images(tmp_path, monkeypatch, corruption, world_size):
    monkeypatch.chdir(tmp_path)
    whole = rows(eval_pipeline(jpegs(10), MODEL, 4, 1))[0]
    log, seen = CorruptImageLog(), []
    for rank in range(world_size):
        split = jpegs(10, corrupt=(0, 7), corruption=corruption)
        images, labels = rows(eval_pipeline(split, MODEL, 4, 2, rank, world_size, log))
        assert len(labels) % 4 == 0
        real = labels != PADDING_LABEL
        np.testing.assert_array_equal(images[real], whole[labels[real]])
        seen += labels[real].tolist()
    assert sorted(seen) == [1, 2, 3, 4, 5, 6, 8, 9]
    assert log.found == {"folder/0.jpg", "folder/7.jpg"}
    assert not list(tmp_path.iterdir()), "no files are left"


@pytest.mark.parametrize("content", ["hello", "truncated"])
def test_a_corrupt_image_is_reported_and_leaves_no_file(make_folder, tmp_path, monkeypatch, content):
    root = make_folder(counts=8)
    bad = root / "train/dog/5.png"
    bad.write_bytes(b"hello" if content == "hello" else bad.read_bytes()[:80])
    monkeypatch.chdir(tmp_path)
    split = open_folder(root).train
    for pipeline in (train(split), eval_pipeline(split, MODEL, 4, 1)):
        words = r"train/dog/5\.png.*--data\.on_corrupt skip skips such images"
        with pytest.raises(UserError, match=words), reraise_decode_errors(split):
            rows(pipeline)
        assert not (tmp_path / "abnormal_image.jpg").exists()


def test_a_pipeline_with_only_corrupt_images_raises_a_user_error():
    split = jpegs(5, corrupt=range(5))
    with pytest.raises(UserError, match=r"the folder has no image that can be decoded$"), reraise_decode_errors(split):
        rows(train(split, CorruptImageLog()))


def test_a_command_names_its_own_option_that_skips_corrupt_images():
    split = jpegs(5, corrupt=[2])
    with (
        pytest.raises(UserError, match=r"--on_corrupt skip skips such images"),
        reraise_decode_errors(split, option="--on_corrupt"),
    ):
        rows(eval_pipeline(split, MODEL, 4, 1))


def test_an_error_without_a_corrupt_image_passes_through(make_folder):
    split = open_folder(make_folder()).train
    with pytest.raises(RuntimeError, match="something else"), reraise_decode_errors(split):
        rows(eval_pipeline(split, MODEL, 4, 1))
        raise RuntimeError("something else")
