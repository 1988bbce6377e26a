"""A network of each construction compiles for Ascend, for training and for evaluation."""

import pytest

from mindvit.dry_run.compile_jobs import compile_jobs
from tests.ascend.compiling import MARKS, assert_runs_on_ascend, small_job

pytestmark = MARKS
CONSTRUCTIONS = {
    "distilled": {"distilled": True},
    "registers": {"register_tokens": 4},
    "layer_scale": {"layer_scale": 0.1},
    "qk_norm": {"qk_norm": True},
    "relative": {"pos_embed": "relative"},
    "window": {"window_size": 3, "patch_size": 4},
    "map": {"pool": "map"},
    "mean_norm": {"pool": "mean_norm"},
    "learned2d": {"pos_embed": "learned2d"},
    "sincos2d": {"pos_embed": "sincos2d"},
    "patch_dropout": {"patch_dropout": 0.5},
    "all_dropouts": {"dropout": 0.1, "attention_dropout": 0.1, "drop_path": 0.1, "block_dropout": 0.1},
    "exact_gelu": {"gelu": "exact"},
    "resnet": {"stem": "r26", "patch_size": 32, "image_size": 64},
    "efficientnet": {"stem": "efficientnet_b0", "patch_size": 32, "image_size": 64},
}
# Its forward differs from that of training by more than dropout, or is a convolutional network.
EVALUATED = ("distilled", "map", "window", "resnet", "efficientnet")


def job(name, step="train"):
    settings = {"depth": 1, "drop_path_mode": "constant", **CONSTRUCTIONS[name]}
    return small_job("vit_b_16_224_tutorial.yaml", step, **{f"model__{key}": value for key, value in settings.items()})


@pytest.fixture(scope="module")
def compiled():
    wanted = [(name, "train") for name in CONSTRUCTIONS] + [(name, "eval") for name in EVALUATED]
    return dict(zip(wanted, compile_jobs([job(*item) for item in wanted]), strict=True))


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_training_uses_kernels_of_ascend_alone(name, compiled):
    assert_runs_on_ascend(compiled[name, "train"])


@pytest.mark.parametrize("name", EVALUATED)
def test_evaluation_uses_kernels_of_ascend_alone(name, compiled):
    assert_runs_on_ascend(compiled[name, "eval"])
