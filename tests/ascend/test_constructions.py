"""A network of each construction compiles for Ascend, for training and for evaluation."""

import pytest

from mindvit.dry_run.compile_jobs import compile_jobs
from tests.ascend.compiling import MARKS, assert_runs_on_ascend, small_job

pytestmark = MARKS
# Each compilation takes seconds, so those that do not exclude each other share one.
CONSTRUCTIONS = {
    "distilled, registers, layer scale, learned2d": {
        "distilled": True,
        "register_tokens": 4,
        "layer_scale": 0.1,
        "pos_embed": "learned2d",
    },
    "normalized queries and keys, map, patch dropout": {"qk_norm": True, "pool": "map", "patch_dropout": 0.5},
    "relative, mean_norm, exact, all dropouts": {
        "pos_embed": "relative",
        "pool": "mean_norm",
        "gelu": "exact",
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "drop_path": 0.1,
        "block_dropout": 0.1,
    },
    "window, sincos2d": {"window_size": 3, "patch_size": 4, "pos_embed": "sincos2d"},
    "resnet": {"stem": "r26", "patch_size": 32, "image_size": 64},
    "efficientnet": {"stem": "efficientnet_b0", "patch_size": 32, "image_size": 64},
}
# Its forward differs from that of training by more than dropout. (Hybrids take longest.)
EVALUATED = [name for name in CONSTRUCTIONS if name.startswith(("distilled", "normalized", "window"))]


def job(name, step="train"):
    settings = {"depth": 1, "drop_path_mode": "constant", **CONSTRUCTIONS[name]}
    return small_job("vit_b_16_224_tutorial.yaml", step, **{f"model__{key}": value for key, value in settings.items()})


@pytest.fixture(scope="module")
def compiled():
    wanted = [(name, "train") for name in CONSTRUCTIONS] + [(name, "eval") for name in EVALUATED]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mindvit.dry_run.compile_jobs._WORKER", "tests.ascend.short_stems_worker")
        return dict(zip(wanted, compile_jobs([job(*item) for item in wanted]), strict=True))


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_training_uses_kernels_of_ascend_alone(name, compiled):
    assert_runs_on_ascend(compiled[name, "train"])


@pytest.mark.parametrize("name", EVALUATED)
def test_evaluation_uses_kernels_of_ascend_alone(name, compiled):
    assert_runs_on_ascend(compiled[name, "eval"])
