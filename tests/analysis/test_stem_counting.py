"""Parameters and multiply-adds of the stems, compared with PyTorch's counts in tests/references/stems.npz."""

import json

import numpy as np
import pytest

from mindvit.analysis.stem_counting import stem_macs, stem_parameters
from mindvit.models.stems import STEMS, make_stem
from tests.references.make_stem_references import TARGET

COUNTS = json.loads(np.load(TARGET)["counts"].item())


@pytest.mark.parametrize("size", ["224x224", "96x160"])
@pytest.mark.parametrize("name", STEMS)
def test_multiply_adds_match_pytorch(name, size):
    assert stem_macs(name, 3, *map(int, size.split("x"))) == COUNTS[name][size]


@pytest.mark.parametrize("name", ["r26", "efficientnet_b0"])
def test_in_channels_affect_only_the_first_convolution(name):
    first = next(make_stem(name, in_channels=5).get_parameters())
    assert first.shape[1] == 5
    difference = stem_macs(name, 5, 64, 64) - stem_macs(name, 3, 64, 64)
    assert difference == 2 * 32 * 32 * first.shape[0] * first.shape[2] * first.shape[3]


@pytest.mark.slow
@pytest.mark.parametrize("name", STEMS)
def test_parameters_match_pytorch(name):
    assert stem_parameters(name, 3) == COUNTS[name]["parameters"]


def test_an_unknown_stem_is_an_error():
    with pytest.raises(ValueError, match="stem must be one of r26, r50, r50_s16, efficientnet_b0, not 'r51'"):
        stem_macs("r51", 3, 64, 64)
