"""Random numbers that are functions of what they are for, so that a run can be continued anywhere."""

from enum import IntEnum

import numpy as np


class RngStream(IntEnum):
    """What a stream of random numbers is for; no two purposes share one."""

    ORDER = 0
    IMAGE = 1
    ERASING = 2
    MIXING = 3
    NETWORK = 4


def generator(seed: int, purpose: RngStream, number: int) -> np.random.Generator:
    """A generator of its own for each number, by the counter-based Philox (Salmon et al., 2011).

    Args:
        seed: the run's seed, in [0, 2^31).
        purpose: what the numbers are for.
        number: which epoch, visit or key, in [0, 2^63).
    """
    return np.random.Generator(np.random.Philox(key=np.array([seed << 8 | purpose, number], np.uint64)))
