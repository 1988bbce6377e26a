"""The ``mindspore.dataset`` pipelines that turn a split into batches.

They begin with a ``GeneratorDataset`` of numbers, which their workers turn into pictures of a ``Split``, rather than
with the dataset class of each source: docs/architecture.md gives the reasons and the measurement.
"""

import mindspore.dataset as ds
import numpy as np

from mindvit.data.augment.erasing import random_erasing
from mindvit.data.augment.mixing import draw_mix
from mindvit.data.damage import Readable, Skipped
from mindvit.data.randomness import Purpose, generator
from mindvit.data.settings import AugmentSettings
from mindvit.data.split import PADDING_LABEL, Split
from mindvit.data.transforms import TrainTransform, eval_transforms, to_input
from mindvit.data.visits import Course, Visits
from mindvit.models.config import ViTConfig


def train_pipeline(
    split: Split,
    model: ViTConfig,
    augment: AugmentSettings,
    course: Course,
    num_workers: int,
    first_step: int = 0,
    skipped: Skipped | None = None,
) -> ds.Dataset:
    """Shuffled, augmented batches of one worker's share of a run, epoch after epoch.

    Everything random is a function of the course's seed and the visit's number, so that a run that begins at
    ``first_step`` sees what it would have seen had it begun at the first, with any number of threads.

    Args:
        split: the pictures.
        model: the network's settings.
        augment: how pictures are varied; ``flip`` must be settled.
        course: which picture is seen when, by which worker.
        num_workers: threads that read and prepare pictures.
        first_step: steps of the run that were made already.
        skipped: takes note of damaged pictures, in whose place the next sound one is seen; None raises instead.

    Returns:
        A dataset with columns ``image``, float32 (batch_size, 3, height, width); ``label``, int32
        (batch_size,); ``key``, int32 (batch_size,), a random number for each visit, for the network's dropout; and
        ``mix``, float32 (6,), what ``draw_mix`` drew.

    Raises:
        UserError: if there are too few pictures for one step.
    """
    course.check(split.origin)
    transform = TrainTransform(model.image_shape, model.preprocessing, augment)
    seed = course.seed

    def prepare(visit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        number = int(visit)
        picture, label = readable.next_sound(course.picture(number))
        image = transform(picture, generator(seed, Purpose.PICTURE, number))
        key = generator(seed, Purpose.NETWORK, number).integers(-(2**31), 2**31, dtype=np.int32)
        return image, label, np.int32(key)

    def erase(image: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng = generator(seed, Purpose.ERASING, int(key) & 0xFFFFFFFF)
        return random_erasing(image, augment.random_erasing, rng), key

    def mix(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng = generator(seed, Purpose.MIXING, int(keys[0]) & 0xFFFFFFFF)
        return keys, draw_mix(augment, model.image_shape, rng)

    readable = Readable(split, skipped)
    threads = {"num_parallel_workers": num_workers, "python_multiprocessing": False}
    # One reader thread: it only counts. Reading and decoding are done by all workers below.
    dataset = ds.GeneratorDataset(
        _Numbers(course.visits_per_epoch), ["visit"], sampler=Visits(course, first_step), num_parallel_workers=1
    )
    dataset = dataset.map(prepare, ["visit"], ["image", "label", "key"], **threads)
    dataset = dataset.map(to_input(model.preprocessing), "image", num_parallel_workers=num_workers)
    if augment.random_erasing:
        dataset = dataset.map(erase, ["image", "key"], **threads)
    dataset = dataset.batch(course.batch_size, drop_remainder=True)
    dataset = dataset.map(mix, ["key"], ["key", "mix"], num_parallel_workers=1, python_multiprocessing=False)
    return dataset.project(["image", "label", "key", "mix"])


def eval_pipeline(
    split: Split,
    model: ViTConfig,
    batch_size: int,
    num_workers: int,
    rank: int = 0,
    num_shards: int = 1,
    skipped: Skipped | None = None,
) -> ds.Dataset:
    """Batches in which each picture of one worker's share stands exactly once, in order.

    The last batch is filled up with blank pictures labelled ``PADDING_LABEL``, so that every batch has one shape.
    The shares of all workers hold each picture of the split exactly once; one without a picture has a batch of blanks.

    Args:
        split: the pictures.
        model: the network's settings.
        batch_size: pictures in a batch.
        num_workers: threads that prepare pictures.
        rank: this worker's number.
        num_shards: workers.
        skipped: takes note of damaged pictures, whose place a blank one takes that does not count; None raises
            instead.

    Returns:
        A dataset with columns ``image``, float32 (batch_size, 3, height, width), and ``label``, int32
        (batch_size,).
    """

    def prepare(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        picture, label = readable.or_blank(int(index))
        return np.asarray(picture), label

    share = range(rank, len(split), num_shards)
    missing = -len(share) % batch_size or (0 if share else batch_size)
    blank = np.zeros((model.in_channels, *model.image_shape), np.float32)
    padding = [{"image": blank, "label": np.array(PADDING_LABEL, np.int32)}] * missing
    if not share:
        return ds.PaddedDataset(padding).batch(batch_size)
    readable = Readable(split, skipped)
    dataset = ds.GeneratorDataset(
        _Numbers(len(split)), ["index"], sampler=ds.SubsetSampler(list(share)), num_parallel_workers=1
    )
    threads = {"num_parallel_workers": num_workers, "python_multiprocessing": False}
    dataset = dataset.map(prepare, ["index"], ["image", "label"], **threads)
    dataset = dataset.map(
        eval_transforms(model.image_shape, model.preprocessing), "image", num_parallel_workers=num_workers
    )
    if missing:
        dataset += ds.PaddedDataset(padding)
    return dataset.batch(batch_size)


class _Numbers:
    """A source of rows that are their own numbers."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[np.int64]:
        return (np.int64(number),)
