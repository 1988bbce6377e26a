from dataclasses import replace

import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore.dataset import vision
from PIL import Image

from mindvit.classes import Classes
from mindvit.data.augment.draw_mixup import draw_mixup
from mindvit.data.folder import read_split
from mindvit.data.images import read_image
from mindvit.data.pipeline import PADDING_LABEL, eval_pipeline, train_pipeline
from mindvit.data.rng import RngStream, generator
from mindvit.data.sampling import SamplingPlan
from mindvit.data.settings import AugmentSettings
from mindvit.data.split import Split
from mindvit.errors import UserError
from mindvit.models import Preprocessing, ViTConfig
from tests.data.photos import photo

MODEL = ViTConfig(image_size=8, patch_size=4, preprocessing=Preprocessing((0.5,) * 3, (0.25,) * 3, crop_pct=0.5))
AUGMENT = AugmentSettings(flip=True)
WHOLE = {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": False}
"""Settings that only resize a square image."""
EVERYTHING = AugmentSettings(
    flip=True,
    auto_augment="randaugment",
    randaugment_noise=0.5,
    color_jitter=0.3,
    random_erasing=0.5,
    mixup=0.8,
    cutmix=1.0,
    repeated_aug=2,
)
COLUMNS = ("image", "label", "rng_key", "mix")


def numbered(count, size=8):
    """A split whose image i has the value i in all pixels and the label i."""
    return Split(
        origin="numbers",
        classes=Classes.named(tuple(map(str, range(count)))),
        labels=np.arange(count, dtype=np.int32),
        read=lambda index: Image.fromarray(np.full((size, size, 3), index, np.uint8)),
        describe=str,
    )


def noise_split(count):
    """A split of random images."""
    values = np.random.default_rng(0).integers(0, 256, (count, 12, 10, 3)).astype(np.uint8)
    return replace(numbered(count), read=lambda index: Image.fromarray(values[index]))


def train(split, augment, batch_size, *, model=MODEL, num_workers=1, first_step=0, seed=0, rank=0, world_size=1):
    plan = SamplingPlan(len(split), batch_size, seed, augment.repeated_aug, rank, world_size)
    return train_pipeline(split, model, augment, plan, num_workers, first_step)


def batches(dataset, epochs=1):
    iterator = dataset.create_dict_iterator(num_epochs=epochs, output_numpy=True)
    return [list(iterator) for _ in range(epochs)]


def flat(epochs):
    return [batch for epoch in epochs for batch in epoch]


def column(epochs, name):
    """All rows of a column, over the batches of some epochs."""
    return np.concatenate([batch[name] for batch in flat(epochs)])


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("count", [2, 7, 10, 12])
def test_evaluation_reads_every_image_exactly_once(count, world_size):
    seen = []
    for rank in range(world_size):
        (epoch,) = batches(eval_pipeline(numbered(count), MODEL, 4, 1, rank, world_size))
        assert all(batch["image"].shape == (4, 3, 8, 8) for batch in epoch), "all batches have one shape"
        seen += [label for batch in epoch for label in batch["label"].tolist() if label != PADDING_LABEL]
    assert sorted(seen) == list(range(count))


def test_evaluation_pairs_images_and_labels():
    (epoch,) = batches(eval_pipeline(numbered(10), MODEL, 4, 2))
    for batch in epoch:
        for image, label in zip(batch["image"], batch["label"], strict=True):
            if label != PADDING_LABEL:
                np.testing.assert_allclose(image, (label / 255 - 0.5) / 0.25, atol=1e-5)


def test_training_batches_have_matching_images_and_labels():
    epochs = batches(train(numbered(10), AugmentSettings(flip=True), 4, num_workers=2), epochs=2)
    for batch in flat(epochs):
        assert tuple(batch) == COLUMNS
        assert [batch[name].dtype for name in COLUMNS] == [np.float32, np.int32, np.int32, np.float32]
        assert [batch[name].shape for name in COLUMNS] == [(4, 3, 8, 8), (4,), (4,), (6,)]
        expected = np.broadcast_to(((batch["label"] / 255 - 0.5) / 0.25)[:, None, None, None], (4, 3, 8, 8))
        np.testing.assert_allclose(batch["image"], expected, atol=1e-5)


def test_training_shuffles_each_epoch_and_drops_the_incomplete_batch():
    first, second = batches(train(numbered(10), AUGMENT, 4), epochs=2)
    labels = [column([epoch], "label").tolist() for epoch in (first, second)]
    assert all(len(epoch) == len(set(epoch)) == 8 for epoch in labels)
    assert labels[0] != sorted(labels[0])
    assert labels[0] != labels[1]


def test_another_seed_gives_another_order_and_other_images():
    one, other = (batches(train(noise_split(12), AUGMENT, 12, seed=seed))[0][0] for seed in (1, 2))
    assert sorted(one["label"]) == sorted(other["label"]) == list(range(12))
    assert one["label"].tolist() != other["label"].tolist()
    assert not set(one["rng_key"]) & set(other["rng_key"])
    images = [batch["image"][np.argsort(batch["label"])] for batch in (one, other)]
    assert (images[0] != images[1]).any((1, 2, 3)).all()


@pytest.fixture(scope="module")
def uninterrupted():
    """All batches of five epochs with three steps each, from one data worker."""
    epochs = batches(train(noise_split(10), EVERYTHING, 3), epochs=5)
    assert [len(epoch) for epoch in epochs] == [3] * 5
    return flat(epochs)


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("first_step", [0, 1, 3, 5, 10])
def test_a_resumed_run_gets_the_same_batches(uninterrupted, first_step, num_workers):
    pipeline = train(noise_split(10), EVERYTHING, 3, num_workers=num_workers, first_step=first_step)
    epochs = batches(pipeline, epochs=5 - first_step // 3)
    assert [len(epoch) for epoch in epochs] == [3 - first_step % 3] + [3] * (4 - first_step // 3)
    for seen, expected in zip(flat(epochs), uninterrupted[first_step:], strict=True):
        for name in COLUMNS:
            np.testing.assert_array_equal(seen[name], expected[name], err_msg=name)


def test_all_batches_differ(uninterrupted):
    for name in COLUMNS:
        assert len({batch[name].tobytes() for batch in uninterrupted}) == len(uninterrupted), name


def test_batches_do_not_depend_on_global_seeds(uninterrupted):
    np.random.seed(5)
    ds.config.set_seed(5)
    (epoch,) = batches(train(noise_split(10), EVERYTHING, 3))
    for seen, expected in zip(epoch, uninterrupted, strict=False):
        for name in COLUMNS:
            np.testing.assert_array_equal(seen[name], expected[name], err_msg=name)


@pytest.mark.parametrize("augment", [AUGMENT, EVERYTHING], ids=["plain", "everything"])
def test_two_ranks_see_in_a_step_what_one_rank_with_twice_the_batch_size_sees(augment):
    whole = flat(batches(train(noise_split(13), augment, 4), epochs=2))
    shards = [flat(batches(train(noise_split(13), augment, 2, rank=rank, world_size=2), epochs=2)) for rank in range(2)]
    assert len(whole) == 6
    for batch, *parts in zip(whole, *shards, strict=True):
        for name in ("image", "label", "rng_key"):
            np.testing.assert_array_equal(
                np.stack([part[name] for part in parts], axis=1).reshape(batch[name].shape), batch[name]
            )


def test_training_shards_cover_all_images_without_overlap():
    shards = [batches(train(numbered(12), AUGMENT, 3, rank=rank, world_size=2)) for rank in range(2)]
    assert sorted(label for shard in shards for label in column(shard, "label")) == list(range(12))


def test_repeated_augmentation_shows_fewer_images_differently_each_time():
    augment = AugmentSettings(flip=True, crop_scale=(0.3, 0.9), repeated_aug=3)
    for epoch in batches(train(noise_split(12), augment, 4, num_workers=2), epochs=2):
        labels, keys, images = (column([epoch], name) for name in ("label", "rng_key", "image"))
        assert np.unique(labels, return_counts=True)[1].tolist() == [3] * 4
        assert len(set(keys)) == len({image.tobytes() for image in images}) == 12


def test_rng_keys_are_distinct_and_uniform_over_int32():
    keys = column(batches(train(numbered(500), AUGMENT, 50), epochs=4), "rng_key")
    assert keys.dtype == np.int32
    assert len(set(keys)) == len(keys) == 2000
    fractions = np.histogram(keys, bins=8, range=(-(2**31), 2**31))[0] / len(keys)
    np.testing.assert_allclose(fractions, 1 / 8, atol=0.03)


def test_the_mix_of_a_batch_comes_from_its_first_rng_key():
    augment = AugmentSettings(flip=True, mixup=0.8, cutmix=1.0)
    model = replace(MODEL, image_size=32)
    epochs = batches(train(numbered(16, size=32), augment, 2, model=model, seed=3), epochs=3)
    for batch in flat(epochs):
        rng = generator(3, RngStream.MIXING, int(batch["rng_key"][0].astype(np.uint32)))
        np.testing.assert_array_equal(batch["mix"], draw_mixup(augment, (32, 32), rng))


def test_without_mixup_and_cutmix_nothing_is_mixed():
    (epoch,) = batches(train(numbered(8), replace(EVERYTHING, mixup=0, cutmix=0), 2))
    assert len(epoch) == 4
    assert all(batch["mix"].tolist() == [1, 1, 0, 0, 0, 0] for batch in epoch)


def test_erasing_puts_standard_normal_noise_into_the_normalized_image():
    model = replace(MODEL, image_size=32)
    augment = AugmentSettings(**WHOLE, random_erasing=0.7)
    (epoch,) = batches(train(numbered(200, size=32), augment, 50, model=model, num_workers=2))
    images, labels = column([epoch], "image"), column([epoch], "label")
    plain = ((labels / 255 - 0.5) / 0.25).astype(np.float32)[:, None, None, None]
    erased = ~np.isclose(images, plain, atol=1e-5)
    hit = erased.any((1, 2, 3))
    assert 0.55 < hit.mean() < 0.85
    assert 0.1 < erased[hit].mean() < 0.25, "boxes cover 0.02 to 1/3 of an image"
    noise = images[erased]
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    assert len({box.tobytes() for box in erased[hit]}) > 0.9 * hit.sum(), "each sample has its own box"


@pytest.mark.parametrize("change", [{"auto_augment": "randaugment", "randaugment_prob": 1.0}, {"color_jitter": 0.5}])
def test_policy_and_jitter_reach_the_images(change):
    (plain,), (varied,) = (
        batches(train(noise_split(12), AugmentSettings(**WHOLE, **more), 12))[0] for more in ({}, change)
    )
    np.testing.assert_array_equal(plain["label"], varied["label"])
    assert (plain["image"] != varied["image"]).any((1, 2, 3)).sum() > 8


def test_too_few_images_for_a_step_are_refused():
    words = r"takes 16 images \(data.batch_size times train.accumulate_steps\), but numbers has only 10"
    with pytest.raises(UserError, match=words):
        train(numbered(10), AUGMENT, 16)
    with pytest.raises(UserError, match="8 images on each of 2 ranks"):
        train(numbered(10), AUGMENT, 8, world_size=2)


def test_evaluation_resizes_the_shorter_side_and_crops_the_center(tmp_path):
    values = np.zeros((32, 48, 3), np.uint8)
    values[7:25, 15:33] = 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(values).save(tmp_path / name / "x.png")
    (epoch,) = batches(eval_pipeline(read_split(tmp_path), MODEL, 2, 1))
    # 32 x 48 becomes 16 x 24 (crop_pct 0.5 of 8 pixels). Its central 8 x 8 covers 16 x 16 pixels, and the antialiasing
    # filter one pixel more on each side: the white square.
    np.testing.assert_allclose(epoch[0]["image"], (1 - 0.5) / 0.25, atol=1e-5)


def test_evaluation_as_mindspore_is_the_pipeline_of_the_tutorial(tmp_path):
    for index, size in enumerate([(333, 500), (501, 375), (225, 223), (97, 301)]):
        (tmp_path / "ab"[index % 2]).mkdir(exist_ok=True)
        photo(*size, index).save(tmp_path / "ab"[index % 2] / f"{index}.png")
    model = ViTConfig(preprocessing=Preprocessing(resize="mindspore"))
    (epoch,) = batches(eval_pipeline(read_split(tmp_path), model, 4, 2))
    mean, std = [0.485 * 255, 0.456 * 255, 0.406 * 255], [0.229 * 255, 0.224 * 255, 0.225 * 255]
    theirs = [
        vision.Decode(),
        vision.Resize(256),
        vision.CenterCrop(224),
        vision.Normalize(mean, std),
        vision.HWC2CHW(),
    ]
    tutorial = ds.ImageFolderDataset(str(tmp_path), shuffle=False).map(theirs, "image").batch(4)
    (expected,) = batches(tutorial)
    np.testing.assert_array_equal(epoch[0]["image"], expected[0]["image"])


WIDE = replace(MODEL, image_size=(8, 16))


def test_rectangular_batches_are_channels_height_width():
    for augment in (EVERYTHING, AugmentSettings(flip=True, crop="padded")):
        (epoch,) = batches(train(noise_split(9), augment, 3, model=WIDE))
        assert [batch["image"].shape for batch in epoch] == [(3, 3, 8, 16)] * 3
    (epoch,) = batches(eval_pipeline(noise_split(5), WIDE, 4, 1))
    assert [batch["image"].shape for batch in epoch] == [(4, 3, 8, 16)] * 2
    assert not epoch[1]["image"][1:].any(), "blank images pad the last batch"


def test_the_mix_of_rectangular_images_has_boxes_within_their_height_and_width():
    augment = AugmentSettings(flip=True, cutmix=1.0)
    model = replace(MODEL, image_size=(16, 64))
    boxes = np.array(
        [batch["mix"] for batch in flat(batches(train(noise_split(12), augment, 2, model=model), epochs=6))]
    )
    assert boxes[:, 3].max() <= 16 < boxes[:, 5].max() <= 64


def test_rectangular_evaluation_covers_the_shape_and_crops_the_center():
    values = np.zeros((32, 48, 3), np.uint8)
    values[8:24] = 255
    split = replace(numbered(2), read=lambda index: Image.fromarray(values))
    (epoch,) = batches(eval_pipeline(split, WIDE, 2, 1))
    # 8 x 16 at crop_pct 0.5 is 16 x 32: 32 x 48 becomes 21 x 32. Its central 8 rows are in the white band of 10.7 rows.
    np.testing.assert_allclose(epoch[0]["image"], (1 - 0.5) / 0.25, atol=0.05)


def test_evaluation_uses_the_bicubic_filter_of_pillow(tmp_path, rng):
    values = rng.integers(0, 256, (40, 40, 3)).astype(np.uint8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(values).save(tmp_path / name / "x.png")
    preprocessing = Preprocessing((0.0,) * 3, (1.0,) * 3, interpolation="bicubic", crop_pct=1.0)
    model = ViTConfig(image_size=8, patch_size=4, preprocessing=preprocessing)
    (epoch,) = batches(eval_pipeline(read_split(tmp_path), model, 2, 1))
    expected = np.asarray(Image.fromarray(values).resize((8, 8), Image.Resampling.BICUBIC)) / 255
    np.testing.assert_allclose(epoch[0]["image"][0].transpose(1, 2, 0), expected, atol=1e-5)


def test_flip_can_be_disabled(tmp_path):
    values = np.zeros((16, 16, 3), np.uint8)
    values[:, :8] = 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(20):
            Image.fromarray(values).save(tmp_path / name / f"{index}.png")
    split = read_split(tmp_path)
    for flip in (True, False):
        (epoch,) = batches(train(split, AugmentSettings(**{**WHOLE, "flip": flip}), 40))
        mirrored = epoch[0]["image"][:, 0, 0, 0] < 0
        assert (5 < mirrored.sum() < 35) if flip else not mirrored.any()


def test_training_reads_images_in_display_orientation(tmp_path):
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:8] = 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    turned = Image.fromarray(np.rot90(upright).copy())
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "a/x.jpg", exif=exif, quality=100)
    Image.fromarray(upright).save(tmp_path / "b/x.gif")
    np.testing.assert_allclose(np.asarray(read_image(tmp_path / "a/x.jpg"))[[2, -3], 8], [[255] * 3, [0] * 3], atol=3)
    (epoch,) = batches(train(read_split(tmp_path), AugmentSettings(**WHOLE), 2))
    np.testing.assert_allclose(epoch[0]["image"][:, :, 0], 2.0, atol=0.2)
    np.testing.assert_allclose(epoch[0]["image"][:, :, -1], -2.0, atol=0.2)
