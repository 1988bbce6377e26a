"""The sampling order of training: which image each sample shows, as a function of the seed and the sample index."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import mindspore.dataset as ds
import numpy as np

from mindvit.data.rng import RngStream, generator
from mindvit.errors import UserError


@dataclass(frozen=True, eq=False)
class ClassGroups:
    """The images of each class that has some."""

    indices: tuple[np.ndarray, ...]
    """Indices of the images, by class."""

    @classmethod
    def of(cls, labels: np.ndarray) -> "ClassGroups":
        """Groups images by their labels, (num_images,)."""
        return cls(tuple(np.flatnonzero(labels == label) for label in np.unique(labels)))


@dataclass(frozen=True)
class SamplingPlan:
    """Maps the sample indices of a run to images. Indices count up through all epochs and over all ranks.

    A step of all ranks takes ``batch_size * world_size`` consecutive sample indices, and the ranks take them in turn.
    So two ranks see in one step what one rank with twice the batch size sees. An epoch has as many whole steps as the
    number of images allows. The remainder is dropped; it holds different images in each epoch.

    With repeated augmentation (Hoffer et al., 2020) an epoch has the same number of samples, but shows only
    ``1 / repeated_aug`` of the images, each ``repeated_aug`` times in a row with different augmentation.

    With ``groups`` an epoch has the same number of samples too, but shows each class equally often: the samples of two
    classes differ by at most ``repeated_aug``. The epochs together go through the images of a class pass by pass, and
    the order of each pass is random.
    """

    num_images: int
    """Training images."""
    batch_size: int
    """Samples per rank and step."""
    seed: int
    """Seed of the run."""
    repeated_aug: int = 1
    """Repeats of each image in an epoch."""
    rank: int = 0
    """Rank of this process."""
    world_size: int = 1
    """Number of ranks."""
    groups: "ClassGroups | None" = None
    """The images of each class, for balanced sampling; None shows each image equally often."""

    @property
    def steps_per_epoch(self) -> int:
        """Whole steps in an epoch."""
        return self.num_images // self.samples_per_step

    @property
    def samples_per_step(self) -> int:
        """Samples of all ranks in a step."""
        return self.batch_size * self.world_size

    @property
    def samples_per_epoch(self) -> int:
        """Samples of all ranks in an epoch."""
        return self.steps_per_epoch * self.samples_per_step

    def check(self, origin: str) -> None:
        """Checks that there are enough images for one step.

        Args:
            origin: where the images are, for the error message.

        Raises:
            UserError: if there are too few.
        """
        if self.steps_per_epoch == 0:
            ranks = f" on each of {self.world_size} ranks" if self.world_size > 1 else ""
            raise UserError(
                f"a step takes {self.batch_size} images{ranks} (data.batch_size times train.accumulate_steps), "
                f"but {origin} has only {self.num_images} training images"
            )

    def samples_of_step(self, step: int) -> range:
        """The sample indices that this rank takes in a step, which is counted through all epochs."""
        first = step * self.samples_per_step
        return range(first + self.rank, first + self.samples_per_step, self.world_size)

    def image_index(self, sample: int) -> int:
        """The index of the image that a sample shows."""
        epoch, position = divmod(sample, self.samples_per_epoch)
        if self.groups is not None:
            order = _balanced_order(self.groups, self.samples_per_epoch, self.repeated_aug, self.seed, epoch)
        else:
            order = _order(self.num_images, self.repeated_aug, self.seed, epoch)
        return int(order[position])


class TrainSampler(ds.Sampler):
    """Yields the steps of one epoch at each iteration, counted through all epochs.

    Args:
        plan: the sampling plan of the run.
        first_step: step to start at. The first iteration yields the rest of its epoch.
    """

    def __init__(self, plan: SamplingPlan, first_step: int = 0) -> None:
        super().__init__()
        self.plan = plan
        self.next_step = first_step

    def __iter__(self) -> Iterator[int]:
        steps = self.plan.steps_per_epoch
        first, self.next_step = self.next_step, (self.next_step // steps + 1) * steps
        return iter(range(first, self.next_step))


@lru_cache(maxsize=2)  # The pipeline reads ahead into the next epoch.
def _order(num_images: int, repeated_aug: int, seed: int, epoch: int) -> np.ndarray:
    order = generator(seed, RngStream.ORDER, epoch).permutation(num_images)
    return order[np.arange(num_images) // min(repeated_aug, num_images)]


@lru_cache(maxsize=2)
def _balanced_order(groups: ClassGroups, num_samples: int, repeated_aug: int, seed: int, epoch: int) -> np.ndarray:
    """The images of an epoch.

    Draws count up through all epochs. The K classes take them in turn, so draw d is draw d // K of its class, and each
    class goes through its images pass by pass. Then the draws of the epoch are shuffled.
    """
    num_draws = -(-num_samples // repeated_aug)
    draws = np.arange(epoch * num_draws, (epoch + 1) * num_draws)
    images = np.empty(num_draws, np.int64)
    for place, members in enumerate(groups.indices):
        chosen = np.flatnonzero(draws % len(groups.indices) == place)
        passes, positions = np.divmod(draws[chosen] // len(groups.indices), len(members))
        for number in np.unique(passes):
            order = generator(seed, RngStream.CLASS_ORDER, int(number) * len(groups.indices) + place)
            now = passes == number
            images[chosen[now]] = members[order.permutation(len(members))[positions[now]]]
    shuffled = images[generator(seed, RngStream.ORDER, epoch).permutation(num_draws)]
    return shuffled[np.arange(num_samples) // repeated_aug]
