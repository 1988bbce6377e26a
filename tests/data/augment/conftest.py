import numpy as np
import pytest
from PIL import Image

from mindvit.data.augment.operations import OPERATIONS


@pytest.fixture
def values(rng):
    """Random colours, uint8 (30, 40, 3): every operation changes some of them."""
    return rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)


@pytest.fixture
def image(values):
    return Image.fromarray(values)


@pytest.fixture
def applied(monkeypatch):
    """Replaces each operation by one that only notes its name and amount; the list of them."""
    calls = []

    def noting(name):
        return lambda image, amount, *_: calls.append((name, amount)) or image

    for name in OPERATIONS:
        monkeypatch.setitem(OPERATIONS, name, noting(name))
    return calls
