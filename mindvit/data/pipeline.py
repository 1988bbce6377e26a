"""The ``mindspore.dataset`` pipelines that turn a split into batches.

They start with a ``GeneratorDataset`` of indices, which data workers map to images of a ``Split``. They do not use the
dataset class of each source: docs/architecture.md gives the reasons and the measurements.
"""

import mindspore.dataset as ds
import numpy as np

from mindvit.data.augment.draw_mixup import draw_mixup
from mindvit.data.augment.erasing import random_erasing
from mindvit.data.corrupt_images import CorruptImageLog, ImageReader
from mindvit.data.native_pixels import native_pixels
from mindvit.data.rng import RngStream, generator
from mindvit.data.sampling import SamplingPlan, TrainSampler
from mindvit.data.settings import AugmentSettings
from mindvit.data.split import PADDING_LABEL, Split
from mindvit.data.transforms import EvalTransform, TrainTransform, to_input
from mindvit.models.vit_config import ViTConfig


def train_pipeline(
    split: Split,
    model: ViTConfig,
    augment: AugmentSettings,
    plan: SamplingPlan,
    num_workers: int,
    first_step: int = 0,
    corrupt: CorruptImageLog | None = None,
    native: bool = True,
    reduced_decode: bool = True,
) -> ds.Dataset:
    """Shuffled, augmented batches of one rank, one epoch after the other.

    All random numbers are functions of the seed and the sample index. So a run that resumes at ``first_step`` gets the
    batches that it would have got without the interruption, with any number of data workers.

    Args:
        split: the images.
        model: configuration of the network.
        augment: augmentation settings; ``flip`` must not be None.
        plan: the sampling plan of the run.
        num_workers: data workers (threads) that read and augment images.
        first_step: training steps already taken.
        corrupt: log of corrupt images, which are replaced by the next readable ones; None raises an error instead.
        native: whether native kernels resize and normalize if they can be built; the batches do not depend on it.
        reduced_decode: whether large JPEGs are decoded at a reduced scale where the crop allows it.

    Returns:
        A dataset with columns ``image``, float32 (batch_size, 3, height, width); ``label``, int32 (batch_size,);
        ``rng_key``, int32 (batch_size,), a random number for each sample, from which the network makes its dropout
        masks; and ``mix``, float32 (6,), the parameters of ``draw_mixup``.

    Raises:
        UserError: if there are too few images for one step.
    """
    plan.check(split.origin)
    kernels = native_pixels() if native else None
    transform = TrainTransform(model.image_shape, model.preprocessing, augment, kernels)
    transformed = transform if kernels is None else transform.normalized
    seed = plan.seed

    def prepare(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        index = int(sample)
        drawn = {}

        def draw(size: tuple[int, int], is_reducible: bool) -> int:
            drawn["rng"] = generator(seed, RngStream.IMAGE, index)
            drawn["box"], scale = transform.draw_crop(size, drawn["rng"], is_reducible and reduced_decode)
            return scale

        image, label = reader.next_readable(plan.image_index(index), draw)
        pixels = transformed(image, **drawn)
        rng_key = generator(seed, RngStream.NETWORK, index).integers(-(2**31), 2**31, dtype=np.int32)
        return pixels, label, np.int32(rng_key)

    def erase(image: np.ndarray, rng_key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng = generator(seed, RngStream.ERASING, int(rng_key) & 0xFFFFFFFF)
        return random_erasing(image, augment.random_erasing, rng), rng_key

    def mix(rng_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng = generator(seed, RngStream.MIXING, int(rng_keys[0]) & 0xFFFFFFFF)
        return rng_keys, draw_mixup(augment, model.image_shape, rng)

    reader = ImageReader(split, corrupt)
    workers = {"num_parallel_workers": num_workers, "python_multiprocessing": False}
    # One worker is enough here: it only counts. The map below reads and decodes with all of them.
    dataset = ds.GeneratorDataset(
        _Indices(plan.samples_per_epoch), ["sample"], sampler=TrainSampler(plan, first_step), num_parallel_workers=1
    )
    dataset = dataset.map(prepare, ["sample"], ["image", "label", "rng_key"], **workers)
    if kernels is None:
        dataset = dataset.map(to_input(model.preprocessing), "image", num_parallel_workers=num_workers)
    if augment.random_erasing:
        dataset = dataset.map(erase, ["image", "rng_key"], **workers)
    dataset = dataset.batch(plan.batch_size, drop_remainder=True)
    dataset = dataset.map(mix, ["rng_key"], ["rng_key", "mix"], num_parallel_workers=1, python_multiprocessing=False)
    return dataset.project(["image", "label", "rng_key", "mix"])


def eval_pipeline(
    split: Split,
    model: ViTConfig,
    batch_size: int,
    num_workers: int,
    rank: int = 0,
    world_size: int = 1,
    corrupt: CorruptImageLog | None = None,
) -> ds.Dataset:
    """Batches that hold each image of one rank's shard exactly once, in order.

    The last batch is padded with blank images that have the label ``PADDING_LABEL``, so that all batches have one
    shape. The shards of all ranks together hold each image of the split exactly once. A rank whose shard is empty gets
    one batch of padding.

    Args:
        split: the images.
        model: configuration of the network.
        batch_size: images per batch.
        num_workers: data workers (threads) that read and transform images.
        rank: rank of this process.
        world_size: number of ranks.
        corrupt: log of corrupt images, which are replaced by padding; None raises an error instead.

    Returns:
        A dataset with columns ``image``, float32 (batch_size, 3, height, width), and ``label``, int32 (batch_size,).
    """

    def prepare(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        image, label = reader.or_blank(int(index))
        return transform(image), label

    shard = range(rank, len(split), world_size)
    missing = -len(shard) % batch_size or (0 if shard else batch_size)
    blank = np.zeros((model.in_channels, *model.image_shape), np.float32)
    padding = [{"image": blank, "label": np.array(PADDING_LABEL, np.int32)}] * missing
    if not shard:
        return ds.PaddedDataset(padding).batch(batch_size)
    reader, transform = ImageReader(split, corrupt), EvalTransform(model.image_shape, model.preprocessing)
    dataset = ds.GeneratorDataset(
        _Indices(len(split)), ["index"], sampler=ds.SubsetSampler(list(shard)), num_parallel_workers=1
    )
    workers = {"num_parallel_workers": num_workers, "python_multiprocessing": False}
    dataset = dataset.map(prepare, ["index"], ["image", "label"], **workers)
    dataset = dataset.map(to_input(model.preprocessing), "image", num_parallel_workers=num_workers)
    if missing:
        dataset += ds.PaddedDataset(padding)
    return dataset.batch(batch_size)


class _Indices:
    """A data source whose rows are their own indices."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.int64]:
        return (np.int64(index),)
