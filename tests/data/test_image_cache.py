import warnings
from dataclasses import replace
from threading import Barrier, Thread

import numpy as np
import pytest
from PIL import Image

from mindvit.classes import Classes
from mindvit.data.corrupt_images import CorruptImageLog
from mindvit.data.image_cache import available_memory, cache_images
from mindvit.data.pipeline import eval_pipeline, train_pipeline
from mindvit.data.sampling import SamplingPlan
from mindvit.data.settings import AugmentSettings
from mindvit.data.split import Source, Split
from mindvit.errors import UserError
from mindvit.models import ViTConfig

MODEL = ViTConfig(image_size=8, patch_size=4)
AUGMENT = AugmentSettings(flip=True, auto_augment="randaugment", color_jitter=0.3, random_erasing=0.5, repeated_aug=2)
IMAGE_BYTES = 4 * 10 * 12


class Images:
    """Random images of 10 x 12 pixels that count how often each is read."""

    def __init__(self, count, seed=0):
        self.values = np.random.default_rng(seed).integers(0, 256, (count, 12, 10, 3)).astype(np.uint8)
        self.reads = [0] * count
        names = tuple(map(str, range(count)))
        self.split = Split(
            "numbers", Classes.named(names), np.arange(count, dtype=np.int32), self.read, "image {}".format
        )

    def read(self, index):
        self.reads[index] += 1
        if index == 3 and len(self.values) == 7:
            raise UserError("image 3 is corrupt")
        return Image.fromarray(self.values[index])


def flat(dataset, epochs=1):
    iterator = dataset.create_dict_iterator(num_epochs=epochs, output_numpy=True)
    return [batch for _ in range(epochs) for batch in list(iterator)]


def train(split, **options):
    return train_pipeline(split, MODEL, AUGMENT, SamplingPlan(len(split), 3, 0, 2), 2, **options)


def assert_same(batches, expected):
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        for name in other:
            np.testing.assert_array_equal(batch[name], other[name], err_msg=name)


def test_cached_images_give_the_same_batches_also_of_a_resumed_run():
    images = Images(10)
    expected = flat(train(images.split), 3)
    cached = cache_images(Source(images.split, images.split)).train
    assert_same(flat(train(cached), 3), expected)
    assert_same(flat(train(cached, first_step=4), 2), expected[4:])
    assert_same(flat(eval_pipeline(cached, MODEL, 4, 2)), flat(eval_pipeline(images.split, MODEL, 4, 2)))


def test_each_image_is_decoded_once():
    train_images, val_images = Images(10), Images(4, seed=1)
    source = cache_images(Source(train_images.split, val_images.split))
    train_images.reads, val_images.reads = [0] * 10, [0] * 4
    for _ in range(3):
        for index in range(10):
            np.testing.assert_array_equal(np.asarray(source.train.read(index)), train_images.values[index])
        for index in range(4):
            np.testing.assert_array_equal(np.asarray(source.val.read(index)), val_images.values[index])
    assert train_images.reads == [1] * 10 and val_images.reads == [1] * 4


def test_a_source_without_splits_has_one_cache():
    images = Images(4)
    source = cache_images(Source(images.split, images.split))
    assert source.is_unsplit
    images.reads = [0] * 4
    for split in (source.train, source.val):
        split.read(2)
    assert images.reads == [0, 0, 1, 0]
    assert cache_images(Source(images.split, None)).val is None


def test_images_that_do_not_fit_are_refused_before_they_are_read():
    images = Images(2000)
    source = Source(images.split, None)
    needed = 2000 * IMAGE_BYTES
    with pytest.raises(UserError, match=r"data.cache ram needs about 0.0 GB for 2,000 decoded images.*data.cache none"):
        cache_images(source, available=needed)
    assert sum(images.reads) <= 64, "a sample is enough"
    cache_images(source, available=int(needed / 0.79))
    with pytest.raises(UserError, match="for each of 2 ranks"):
        cache_images(source, processes=2, available=int(needed / 0.79))


def test_the_memory_is_bounded_if_the_estimate_was_too_low():
    images = Images(200)
    grown = [False]

    def read(index):
        """Small images at first; then four of five images are large."""
        image = images.read(index)
        return image.resize((40, 48)) if grown[0] and index % 5 else image

    growing = replace(images.split, read=read)
    source = cache_images(Source(growing, None), available=int(200 * IMAGE_BYTES / 0.79))
    grown[0] = True
    images.reads = [0] * 200
    with pytest.warns(UserWarning, match="larger than estimated") as notes:
        for _ in range(2):
            for index in range(200):
                assert source.train.read(index).size == ((40, 48) if index % 5 else (10, 12))
    assert len(notes) == 1, "the warning is given once"
    assert 200 < sum(images.reads) < 400, "some images are stored, and some are not"


def test_workers_that_read_the_same_image_store_it_once():
    images, barrier = Images(100), Barrier(2)

    def read(index):
        if started:
            barrier.wait(5)
        return images.read(index)

    started = []
    source = cache_images(Source(replace(images.split, read=read), None), available=int(100 * IMAGE_BYTES / 0.79))
    started.append(True)
    for index in range(100):
        threads = [Thread(target=source.train.read, args=(index,)) for _ in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Had both been counted, half of the images would not fit.
        images.reads = [0] * 100
        [source.train.read(index) for index in range(100)]
    assert images.reads == [0] * 100


def test_a_corrupt_image_is_skipped_and_logged_as_without_a_cache():
    images = Images(7)
    expected = flat(eval_pipeline(images.split, MODEL, 7, 1, corrupt=CorruptImageLog()))
    log = CorruptImageLog()
    cached = cache_images(Source(images.split, None)).train
    for _ in range(2):
        assert_same(flat(eval_pipeline(cached, MODEL, 7, 1, corrupt=log)), expected)
    assert log.found == {"image 3"}


def test_free_memory_is_some_of_this_machine():
    assert 2**20 < available_memory() < 2**50
