"""The ``mindspore.dataset`` pipelines that turn a split into batches.

They begin with a ``GeneratorDataset`` over the ``Split`` rather than with the dataset class of each source:
docs/architecture.md gives the reasons and the measurement.
"""

import mindspore.dataset as ds
import numpy as np

from mindvit.data.settings import AugmentSettings
from mindvit.data.split import Split
from mindvit.data.transforms import eval_transforms, train_transforms
from mindvit.errors import UserError
from mindvit.models.config import ViTConfig

PADDING_LABEL = -1


def train_pipeline(
    split: Split,
    model: ViTConfig,
    augment: AugmentSettings,
    batch_size: int,
    num_workers: int,
    rank: int = 0,
    num_shards: int = 1,
) -> ds.Dataset:
    """Shuffled, augmented batches of one worker's share; the order changes each epoch.

    Returns a dataset with columns ``image``, float32 (batch_size, 3, image_size, image_size), and ``label``, int32
    (batch_size,). A last batch that is not full is dropped; the shares cover the whole split.

    Raises:
        UserError: if the share does not fill one batch.
    """
    share = -(-len(split) // num_shards)
    if share < batch_size:
        raise UserError(
            f"data.batch_size {batch_size} is larger than the {share} training pictures "
            f"of {'a worker' if num_shards > 1 else split.origin}"
        )
    sampler = ds.DistributedSampler(num_shards, rank, shuffle=True)
    transforms = train_transforms(model.image_size, model.preprocessing, augment, split.encoded)
    return _prepared(split, sampler, transforms, num_workers).batch(batch_size, drop_remainder=True)


def eval_pipeline(
    split: Split, model: ViTConfig, batch_size: int, num_workers: int, rank: int = 0, num_shards: int = 1
) -> ds.Dataset:
    """Batches in which each picture of one worker's share stands exactly once, in order.

    The last batch is filled up with blank pictures labelled ``PADDING_LABEL``, so that every batch has one shape.
    The shares of all workers hold each picture of the split exactly once. Columns as in ``train_pipeline``.
    """
    share = range(rank, len(split), num_shards)
    transforms = eval_transforms(model.image_size, model.preprocessing, split.encoded)
    dataset = _prepared(split, ds.SubsetSampler(list(share)), transforms, num_workers)
    missing = -len(share) % batch_size
    if missing:
        blank = np.zeros((model.in_channels, model.image_size, model.image_size), np.float32)
        dataset += ds.PaddedDataset([{"image": blank, "label": np.array(PADDING_LABEL, np.int32)}] * missing)
    return dataset.batch(batch_size)


def _prepared(split: Split, sampler: ds.Sampler, transforms: list, num_workers: int) -> ds.Dataset:
    # One reader thread: more of them contend for the interpreter's lock (measured: 1,830 pictures/s with one, 1,270
    # with two, on two cores), while the transforms run as compiled code on all workers.
    dataset = ds.GeneratorDataset(
        split, ["image", "label"], sampler=sampler, num_parallel_workers=1, python_multiprocessing=False
    )
    return dataset.map(transforms, "image", num_parallel_workers=num_workers)
