"""The names of the stem of a hybrid. Whole hybrids have no small form: they are compared with timm by hand."""

import numpy as np
import pytest

from mindvit.models.stems import RESNETS
from mindvit.weights.infer_config import infer_config
from mindvit.weights.layouts.google import GOOGLE
from mindvit.weights.layouts.timm import TIMM

LEAVES = ("scale", "bias")


def google_stem(layers, rng):
    """The tensors of a narrow stem under the names of Google's files."""
    arrays = {"conv_root/kernel": rng.random((7, 7, 3, 2))}
    arrays |= {f"gn_root/{leaf}": rng.random((1, 1, 1, 2)) for leaf in LEAVES}
    for stage, units in enumerate(layers, 1):
        for unit in range(1, units + 1):
            names = ["conv1", "conv2", "conv3"] + ["conv_proj"] * (unit == 1)
            for name in names:
                arrays[f"block{stage}/unit{unit}/{name}/kernel"] = rng.random((3, 1, 2, 4))
                norm = name.replace("conv", "gn")
                arrays |= {f"block{stage}/unit{unit}/{norm}/{leaf}": rng.random((1, 1, 1, 4)) for leaf in LEAVES}
    return arrays | {"embedding/kernel": rng.random((1, 1, 4, 5)), "embedding/bias": rng.random(5)}


@pytest.mark.parametrize("stem", RESNETS)
def test_stem_names_of_google_and_timm_are_mapped(stem, rng):
    arrays = google_stem(RESNETS[stem], rng)
    assert GOOGLE.unexpected(arrays) == []
    ours = GOOGLE.to_ours(arrays)
    assert len(ours) == len(arrays)
    assert infer_config(ours)["stem"] == stem
    kernel = arrays["block2/unit1/conv2/kernel"]
    np.testing.assert_array_equal(ours["stem.stages.1.0.conv2.weight"], np.einsum("hwio->oihw", kernel))
    np.testing.assert_array_equal(ours["stem.stages.1.0.norm2.gamma"], arrays["block2/unit1/gn2/scale"].ravel())
    np.testing.assert_array_equal(
        ours["stem.stages.0.0.projection_norm.beta"], arrays["block1/unit1/gn_proj/bias"].ravel()
    )
    np.testing.assert_array_equal(ours["stem.root.norm.gamma"], arrays["gn_root/scale"].ravel())

    theirs = TIMM.key_map.to_theirs(ours)
    unit = "patch_embed.backbone.stages.1.blocks.0"
    np.testing.assert_array_equal(theirs[f"{unit}.conv2.weight"], np.einsum("hwio->oihw", kernel))
    np.testing.assert_array_equal(theirs[f"{unit}.downsample.norm.bias"], ours["stem.stages.1.0.projection_norm.beta"])
    again = TIMM.to_ours(theirs)
    assert again.keys() == ours.keys()
    for name, values in ours.items():
        np.testing.assert_array_equal(again[name], values)


def test_another_resnet_is_described(rng):
    ours = GOOGLE.to_ours(google_stem((1, 1), rng))
    assert infer_config(ours)["stem"] == "a ResNet of (1, 1) units"
