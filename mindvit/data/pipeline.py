"""The ``mindspore.dataset`` pipelines that turn a split into batches.

They are a ``GeneratorDataset`` whose rows are whole batches of images of a ``Split``. They use neither the dataset
class of each source nor ``map`` and ``batch``: docs/architecture.md gives the reasons and the measurements.
"""

import mindspore.dataset as ds
import numpy as np

from mindvit.data.augment.draw_mixup import draw_mixup
from mindvit.data.augment.erasing import random_erasing
from mindvit.data.batch_loader import BatchLoader
from mindvit.data.corrupt_images import CorruptImageLog, ImageReader
from mindvit.data.native_pixels import native_pixels
from mindvit.data.rng import RngStream, generator
from mindvit.data.sampling import SamplingPlan, TrainSampler
from mindvit.data.settings import AugmentSettings
from mindvit.data.split import PADDING_LABEL, Split
from mindvit.data.transforms import EvalTransform, TrainTransform
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
    transform = TrainTransform(model.image_shape, model.preprocessing, augment, native_pixels() if native else None)
    reader, seed = ImageReader(split, corrupt), plan.seed

    def make_row(sample: int, row: np.ndarray) -> tuple[np.int32, np.int32]:
        drawn = {}

        def draw(size: tuple[int, int], is_reducible: bool) -> int:
            drawn["rng"] = generator(seed, RngStream.IMAGE, sample)
            drawn["box"], scale = transform.draw_crop(size, drawn["rng"], is_reducible and reduced_decode)
            return scale

        image, label = reader.next_readable(plan.image_index(sample), draw)
        transform.normalized(image, row, **drawn)
        rng_key = generator(seed, RngStream.NETWORK, sample).integers(-(2**31), 2**31, dtype=np.int32)
        if augment.random_erasing:
            rng = generator(seed, RngStream.ERASING, int(rng_key) & 0xFFFFFFFF)
            erased = random_erasing(row, augment.random_erasing, rng)
            if erased is not row:
                row[:] = erased
        return label, rng_key

    def add_mix(labels: np.ndarray, rng_keys: np.ndarray) -> tuple[np.ndarray, ...]:
        rng = generator(seed, RngStream.MIXING, int(rng_keys[0]) & 0xFFFFFFFF)
        return labels, rng_keys, draw_mixup(augment, model.image_shape, rng)

    size = plan.steps_per_epoch, (3, *model.image_shape)
    loader = BatchLoader(make_row, plan.samples_of_step, *size, num_workers, add_mix, reader.record)
    return _dataset(loader, ["image", "label", "rng_key", "mix"], TrainSampler(plan, first_step))


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

    shard = range(rank, len(split), world_size)
    steps = max(1, -(-len(shard) // batch_size))
    reader, transform = ImageReader(split, corrupt), EvalTransform(model.image_shape, model.preprocessing)

    def samples_of(step: int) -> list[int | None]:
        samples = shard[step * batch_size : (step + 1) * batch_size]
        return [*samples, *[None] * (batch_size - len(samples))]

    def make_row(index: int | None, row: np.ndarray) -> tuple[np.int32]:
        if index is None:
            row.fill(0)
            return (np.int32(PADDING_LABEL),)
        image, label = reader.or_blank(index)
        transform.normalized(image, row)
        return (label,)

    size = steps, (model.in_channels, *model.image_shape)
    loader = BatchLoader(make_row, samples_of, *size, num_workers, on_error=reader.record)
    return _dataset(loader, ["image", "label"], ds.SequentialSampler())


def _dataset(loader: BatchLoader, columns: list[str], sampler: ds.Sampler) -> ds.Dataset:
    # The loader has the data workers. One thread waits for its batches.
    return ds.GeneratorDataset(loader, columns, sampler=sampler, num_parallel_workers=1, python_multiprocessing=False)
