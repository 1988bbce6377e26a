"""Counter-based random numbers: functions of the seed, the purpose and an index, so a run can resume at any step."""

from enum import IntEnum

import numpy as np


class RngStream(IntEnum):
    """Purposes of random numbers. Each purpose has its own streams."""

    ORDER = 0
    IMAGE = 1
    ERASING = 2
    MIXING = 3
    NETWORK = 4
    CLASS_ORDER = 5


def generator(seed: int, stream: RngStream, index: int) -> np.random.Generator:
    """An independent generator for each seed, purpose and index, by the counter-based Philox (Salmon et al., 2011).

    Args:
        seed: seed of the run, in [0, 2^31).
        stream: purpose of the random numbers.
        index: epoch, sample index or ``rng_key``, in [0, 2^63).
    """
    return np.random.Generator(np.random.Philox(key=np.array([seed << 8 | stream, index], np.uint64)))
