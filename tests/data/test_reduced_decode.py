"""Large JPEGs are decoded at a reduced scale in training, where the random crop allows it."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mindvit.data.folder import read_split
from mindvit.data.image_cache import cache_images
from mindvit.data.images import read_image
from mindvit.data.pipeline import eval_pipeline, train_pipeline
from mindvit.data.sampling import SamplingPlan
from mindvit.data.settings import AugmentSettings
from mindvit.data.split import Source
from mindvit.data.transforms import TrainTransform
from mindvit.models import Preprocessing, ViTConfig
from tests.data.photos import photo

MODEL = ViTConfig(image_size=16, patch_size=8)
AUGMENT = AugmentSettings(flip=True, crop_scale=(0.3, 1.0))


def write(path, size=(403, 301), orientation=None, **options):
    """A smooth image with a gradient and a disc."""
    image = photo(*size, 1).resize((size[0] // 8, size[1] // 8)).resize(size, Image.Resampling.BICUBIC)
    exif = image.getexif()
    if orientation:
        exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=95, exif=exif, **options)
    return path


@pytest.fixture
def split(tmp_path):
    write(tmp_path / "a/0.jpg")
    write(tmp_path / "a/1.png")
    write(tmp_path / "b/2.jpg", orientation=6)
    write(tmp_path / "b/3.jpg", orientation=3, progressive=True)
    return read_split(tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_a_jpeg_is_decoded_at_the_chosen_scale_in_display_orientation(tmp_path, orientation, scale):
    path = write(tmp_path / "x.jpg", (400, 304), orientation)
    whole, sizes = read_image(path), []
    reduced = read_image(path, choose_scale=lambda size, can: (sizes.append((size, can)), scale)[1])
    assert sizes == [(whole.size, True)]
    assert reduced.size == tuple(side // scale for side in whole.size)
    expected = np.asarray(whole.reduce(scale) if scale > 1 else whole).astype(float)
    difference = np.abs(np.asarray(reduced) - expected)
    assert difference.mean() < (4 if scale > 1 else 1e-9), "each pixel is the mean of a square of pixels"


def test_an_incomplete_square_of_pixels_at_the_edge_counts_as_one(tmp_path):
    assert read_image(write(tmp_path / "x.jpg"), choose_scale=lambda *_: 8).size == (51, 38)


def test_other_formats_are_decoded_as_a_whole(tmp_path):
    path = write(tmp_path / "x.png")
    sizes = []
    image = read_image(path, choose_scale=lambda size, can: (sizes.append((size, can)), 1)[1])
    assert sizes == [((403, 301), False)]
    assert image.tobytes() == read_image(path).tobytes()


def test_the_scale_is_the_smallest_that_leaves_enough_pixels():
    transform = TrainTransform((16, 24), Preprocessing(), AugmentSettings(flip=True, crop_scale=(0.005, 1.0)))
    scales = set()
    for seed in range(300):
        size = (400 - seed, 300)
        (left, top, right, bottom), scale = transform.draw_crop(size, np.random.default_rng(seed), True)
        whole, one = transform.draw_crop(size, np.random.default_rng(seed))
        assert one == 1
        np.testing.assert_allclose(np.array((left, top, right, bottom)) * scale, whole, atol=scale / 2)
        assert 0 <= left < right <= -(-size[0] // scale) and 0 <= top < bottom <= -(-size[1] // scale)
        width, height = whole[2] - whole[0], whole[3] - whole[1]
        assert scale == 1 or (right - left >= 24 and bottom - top >= 16), "nothing is enlarged that was large enough"
        assert scale == 8 or width < 2 * scale * (24 + 1) or height < 2 * scale * (16 + 1), "a smaller one has too few"
        scales.add(scale)
    assert scales == {1, 2, 4, 8}
    assert transform.draw_crop((44, 44), np.random.default_rng(0), True)[1] == 1


def batches(split, augment=AUGMENT, epochs=1, model=MODEL, **options):
    pipeline = train_pipeline(split, model, augment, SamplingPlan(len(split), 2, 0), 2, **options)
    iterator = pipeline.create_dict_iterator(num_epochs=epochs, output_numpy=True)
    return [batch for _ in range(epochs) for batch in list(iterator)]


def test_training_sees_nearly_the_same_pixels_from_reduced_images(split):
    whole, reduced = (batches(split, epochs=4, reduced_decode=choice) for choice in (False, True))
    std = 1 / 0.226  # A difference of the whole range of a channel, after normalization.
    differences = []
    for one, other in zip(whole, reduced, strict=True):
        np.testing.assert_array_equal(one["label"], other["label"])
        differences += (np.abs(one["image"] - other["image"]).mean((1, 2, 3)) / std).tolist()
    assert np.median(differences) < 0.02 and max(differences) < 0.06, "of the range, in the mean over an image"
    assert min(differences) == 0, "a PNG is decoded as a whole"
    assert np.count_nonzero(differences) > len(differences) / 2


def test_small_images_padded_crops_and_evaluation_are_decoded_as_a_whole(split, monkeypatch):
    large = replace(MODEL, image_size=160)
    for augment, model in ((AugmentSettings(flip=True, crop="padded"), MODEL), (AUGMENT, large)):
        whole, reduced = (batches(split, augment, 1, model, reduced_decode=choice) for choice in (False, True))
        for one, other in zip(whole, reduced, strict=True):
            np.testing.assert_array_equal(one["image"], other["image"])

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", refuse)
    assert len(list(eval_pipeline(split, MODEL, 2, 1).create_dict_iterator(num_epochs=1))) == 2


def test_cached_images_give_the_batches_of_reduced_images(split):
    cached = cache_images(Source(split, None)).train
    expected = batches(split, epochs=6)
    for _ in range(2):
        for one, other in zip(batches(cached, epochs=6), expected, strict=True):
            for name in other:
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_images_of_a_reduced_scale_are_decoded_once(split, monkeypatch):
    drafts = []
    monkeypatch.setattr(
        "PIL.JpegImagePlugin.JpegImageFile.draft", lambda image, mode, size: drafts.append((image.filename, size))
    )
    cached = cache_images(Source(split, None)).train
    for scale in (4, 2, 4, 2, 4):
        for index in range(len(cached)):
            cached.read_scaled(index, lambda size, can, scale=scale: scale if can else 1)
    assert len(drafts) == len(set(drafts)) == 2 * 3, "two scales of three JPEGs"


def test_a_part_of_a_split_reads_its_own_images(split):
    part = split.take(np.array([2, 0]))
    for index, of_whole in enumerate((2, 0)):
        found, expected = (s.read_scaled(i, lambda *_: 2) for s, i in ((part, index), (split, of_whole)))
        assert found.tobytes() == expected.tobytes()
