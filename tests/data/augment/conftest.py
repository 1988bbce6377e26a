import numpy as np
import pytest
from PIL import Image

from mindvit.data.augment.operations import OPERATIONS


@pytest.fixture
def values(rng):
    """Random colors, uint8 (30, 40, 3), so that every operation changes some pixels."""
    return rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)


@pytest.fixture
def image(values):
    return Image.fromarray(values)


@pytest.fixture
def applied(monkeypatch):
    """Replaces each operation by one that only records its name and amount. Returns the list of records."""
    calls = []

    def record(name):
        return lambda image, amount, *_: calls.append((name, amount)) or image

    for name in OPERATIONS:
        monkeypatch.setitem(OPERATIONS, name, record(name))
    return calls
