"""The other workers of a job: joining them, and what all of them say together."""

import os

import mindspore as ms
import numpy as np
from mindspore.communication import get_group_size, get_rank, init


def join() -> tuple[int, int]:
    """Joins the workers that ``msrun`` started; it tells each its place through the environment.

    Returns:
        This worker's number, and how many there are; 0 and 1 outside such a job.
    """
    if not _in_job():
        return 0, 1
    init()  # The scheduler, which msrun starts as one more process, does its work in here and ends.
    return get_rank(), get_group_size()


def sum_over_workers(values: np.ndarray) -> np.ndarray:
    """Adds up a float64 array, elementwise, over all workers of the job; a single worker's sum is its own.

    Collectives carry no float64. Each number travels as two float32 parts, which keeps counts up to 2^47 exact.
    """
    if not _in_job():
        return values
    coarse = values.astype(np.float32)
    fine = (values - coarse).astype(np.float32)
    parts = ms.ops.AllGather()(ms.Tensor(np.stack([coarse, fine])))
    return parts.asnumpy().astype(np.float64).sum(axis=0)


def _in_job() -> bool:
    return "MS_ROLE" in os.environ
