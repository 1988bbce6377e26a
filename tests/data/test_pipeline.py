import numpy as np
import pytest
from PIL import Image

from mindvit.data.damage import naming_damaged_pictures
from mindvit.data.folder import open_folder, read_split
from mindvit.data.pictures import read_picture
from mindvit.data.pipeline import PADDING_LABEL, eval_pipeline, train_pipeline
from mindvit.data.settings import AugmentSettings
from mindvit.data.split import Classes, Split
from mindvit.errors import UserError
from mindvit.models import Preprocessing, ViTConfig

MODEL = ViTConfig(image_size=8, patch_size=4, preprocessing=Preprocessing((0.5,) * 3, (0.25,) * 3, crop_pct=0.5))
AUGMENT = AugmentSettings(flip=True)


def numbered(count, size=8):
    """A split whose picture i is filled with the value i and labelled i."""
    return Split(
        origin="numbers",
        classes=Classes.named(tuple(map(str, range(count)))),
        labels=np.arange(count, dtype=np.int32),
        read=lambda index: np.full((size, size, 3), index, np.uint8),
        describe=str,
        encoded=False,
    )


def batches(dataset, epochs=1):
    iterator = dataset.create_dict_iterator(num_epochs=epochs, output_numpy=True)
    return [list(iterator) for _ in range(epochs)]


@pytest.mark.parametrize("num_shards", [1, 2, 3])
@pytest.mark.parametrize("count", [7, 10, 12])
def test_evaluation_sees_every_picture_exactly_once(count, num_shards):
    seen = []
    for rank in range(num_shards):
        (epoch,) = batches(eval_pipeline(numbered(count), MODEL, 4, 1, rank, num_shards))
        assert all(batch["image"].shape == (4, 3, 8, 8) for batch in epoch), "every batch has one shape"
        seen += [label for batch in epoch for label in batch["label"].tolist() if label != PADDING_LABEL]
    assert sorted(seen) == list(range(count))


def test_evaluation_pairs_pictures_and_labels():
    (epoch,) = batches(eval_pipeline(numbered(10), MODEL, 4, 2))
    for batch in epoch:
        for image, label in zip(batch["image"], batch["label"], strict=True):
            if label != PADDING_LABEL:
                np.testing.assert_allclose(image, (label / 255 - 0.5) / 0.25, atol=1e-5)


def test_training_shuffles_anew_each_epoch_and_drops_what_fills_no_batch():
    first, second = batches(train_pipeline(numbered(10), MODEL, AUGMENT, 4, 1), epochs=2)
    labels = [[label for batch in epoch for label in batch["label"].tolist()] for epoch in (first, second)]
    assert all(len(set(epoch)) == 8 for epoch in labels)
    assert labels[0] != sorted(labels[0])
    assert labels[0] != labels[1]


def test_training_shares_cover_all_pictures_without_overlap():
    seen = []
    for rank in range(2):
        (epoch,) = batches(train_pipeline(numbered(12), MODEL, AUGMENT, 3, 1, rank, 2))
        seen += [label for batch in epoch for label in batch["label"].tolist()]
    assert sorted(seen) == list(range(12))


def test_training_repeats_itself_under_one_seed(make_folder):
    split = open_folder(make_folder(counts=8)).train
    runs = [batches(train_pipeline(split, MODEL, AUGMENT, 4, 2), epochs=2) for _ in range(2)]
    for epochs in zip(*runs, strict=True):
        for one, other in zip(*epochs, strict=True):
            np.testing.assert_array_equal(one["image"], other["image"])


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(UserError, match=r"batch_size 16 is larger than the 10 training pictures of numbers"):
        train_pipeline(numbered(10), MODEL, AUGMENT, 16, 1)
    with pytest.raises(UserError, match="5 training pictures of a worker"):
        train_pipeline(numbered(10), MODEL, AUGMENT, 8, 1, 0, 2)


def test_evaluation_resizes_the_shorter_side_and_crops_the_centre(tmp_path):
    values = np.zeros((32, 48, 3), np.uint8)
    values[8:24, 16:32] = 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(values).save(tmp_path / name / "x.png")
    (epoch,) = batches(eval_pipeline(read_split(tmp_path), MODEL, 2, 1))
    # 32 x 48 becomes 16 x 24 (crop_pct 0.5 of 8 pixels), whose central 8 x 8 is the white square.
    np.testing.assert_allclose(epoch[0]["image"], (1 - 0.5) / 0.25, atol=1e-5)


def test_bicubic_is_pillows(tmp_path, rng):
    values = rng.integers(0, 256, (40, 40, 3)).astype(np.uint8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(values).save(tmp_path / name / "x.png")
    pictures = Preprocessing((0.0,) * 3, (1.0,) * 3, interpolation="bicubic", crop_pct=1.0)
    model = ViTConfig(image_size=8, patch_size=4, preprocessing=pictures)
    (epoch,) = batches(eval_pipeline(read_split(tmp_path), model, 2, 1))
    expected = np.asarray(Image.fromarray(values).resize((8, 8), Image.Resampling.BICUBIC)) / 255
    np.testing.assert_allclose(epoch[0]["image"][0].transpose(1, 2, 0), expected, atol=1e-5)


def test_flip_mirrors_and_can_be_switched_off(tmp_path):
    values = np.zeros((16, 16, 3), np.uint8)
    values[:, :8] = 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(20):
            Image.fromarray(values).save(tmp_path / name / f"{index}.png")
    split = read_split(tmp_path)
    for flip in (True, False):
        augment = AugmentSettings(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=flip)
        (epoch,) = batches(train_pipeline(split, MODEL, augment, 40, 1))
        mirrored = epoch[0]["image"][:, 0, 0, 0] < 0
        assert (5 < mirrored.sum() < 35) if flip else not mirrored.any()


@pytest.mark.parametrize("content", ["hello", "truncated"])
def test_a_damaged_picture_is_named_and_nothing_is_left_behind(make_folder, tmp_path, monkeypatch, content):
    root = make_folder(counts=8)
    bad = root / "train/dog/5.png"
    bad.write_bytes(b"hello" if content == "hello" else bad.read_bytes()[:80])
    monkeypatch.chdir(tmp_path)
    split = open_folder(root).train
    with pytest.raises(UserError, match=r"train/dog/5\.png"), naming_damaged_pictures(split):
        batches(train_pipeline(split, MODEL, AUGMENT, 4, 1))
    assert not (tmp_path / "abnormal_image.jpg").exists()


def test_an_error_that_no_picture_explains_passes_through(make_folder):
    split = open_folder(make_folder()).train
    with pytest.raises(RuntimeError, match="something else"), naming_damaged_pictures(split):
        split[0]
        raise RuntimeError("something else")


def test_odd_pictures_train_as_a_person_sees_them(tmp_path):
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:8] = 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    turned = Image.fromarray(np.rot90(upright).copy())
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "a/x.jpg", exif=exif, quality=100)
    Image.fromarray(upright).save(tmp_path / "b/x.gif")
    np.testing.assert_allclose(read_picture(tmp_path / "a/x.jpg")[[2, -3], 8], [[255] * 3, [0] * 3], atol=3)
    augment = AugmentSettings(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=False)
    (epoch,) = batches(train_pipeline(read_split(tmp_path), MODEL, augment, 2, 1))
    np.testing.assert_allclose(epoch[0]["image"][:, :, 0], 2.0, atol=0.2)
    np.testing.assert_allclose(epoch[0]["image"][:, :, -1], -2.0, atol=0.2)
