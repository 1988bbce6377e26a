"""Which picture is seen when: a function of the seed and the visit's number."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import mindspore.dataset as ds
import numpy as np

from mindvit.data.randomness import Purpose, generator
from mindvit.errors import UserError


@dataclass(frozen=True)
class Course:
    """The visits of a run, numbered through all epochs and over all workers.

    A step of all workers together makes ``batch_size * num_shards`` visits with consecutive numbers, which the workers
    take in turn: two workers see in one step what one worker with twice the batch sees. An epoch makes as many whole
    steps as there are pictures for; what fills no step is left out, another part each epoch.

    With repeated augmentation (Hoffer et al., 2020) an epoch still makes as many visits as there are pictures, but to
    ``1 / repeats`` of them, ``repeats`` times each in a row, differently augmented.
    """

    num_pictures: int
    batch_size: int
    """Visits of one worker in a step."""
    seed: int
    repeats: int = 1
    rank: int = 0
    num_shards: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Whole steps in an epoch."""
        return self.num_pictures // (self.batch_size * self.num_shards)

    @property
    def visits_per_epoch(self) -> int:
        """Visits of all workers in an epoch."""
        return self.steps_per_epoch * self.batch_size * self.num_shards

    def check(self, origin: str) -> None:
        """Checks that there are pictures for one step.

        Args:
            origin: where the pictures lie, for the message.

        Raises:
            UserError: if there are too few.
        """
        if self.steps_per_epoch == 0:
            workers = f" for each of {self.num_shards} workers" if self.num_shards > 1 else ""
            raise UserError(
                f"a step takes {self.batch_size} pictures{workers} (data.batch_size times train.accumulate_steps), "
                f"but {origin} has only {self.num_pictures} training pictures"
            )

    def picture(self, visit: int) -> int:
        """The index of the picture that a visit is to."""
        epoch, place = divmod(visit, self.visits_per_epoch)
        return int(_order(self.num_pictures, self.repeats, self.seed, epoch)[place])


class Visits(ds.Sampler):
    """Yields the numbers of one worker's visits, an epoch at each iteration.

    Args:
        course: the run's.
        first_step: steps, counted through all epochs, that were made already; the first epoch is the rest of theirs.
    """

    def __init__(self, course: Course, first_step: int = 0) -> None:
        super().__init__()
        self.course = course
        self.next_step = first_step

    def __iter__(self) -> Iterator[int]:
        course = self.course
        step_visits = course.batch_size * course.num_shards
        end = (self.next_step // course.steps_per_epoch + 1) * course.steps_per_epoch
        first, last = self.next_step * step_visits, end * step_visits
        self.next_step = end
        return iter(range(first + course.rank, last, course.num_shards))


@lru_cache(maxsize=2)  # The pipeline reads ahead into the next epoch.
def _order(num_pictures: int, repeats: int, seed: int, epoch: int) -> np.ndarray:
    order = generator(seed, Purpose.ORDER, epoch).permutation(num_pictures)
    return order.repeat(repeats)[:num_pictures] if repeats > 1 else order
