"""The training step of every recipe compiles for Ascend and uses its kernels alone."""

import pytest
import yaml

from mindvit.config import flatten
from mindvit.dry_run.compile_jobs import compile_jobs
from tests.ascend.compiling import MARKS, assert_runs_on_ascend, names, small_job
from tests.conftest import ROOT

pytestmark = MARKS
NAMES = sorted(path.name for path in (ROOT / "configs").glob("*.yaml"))
TEACHER = {"distill__teacher": "teacher.ckpt"}


# What decides the graph of a step, where the sizes are the same. The others concern data, rates and files.
GRAPH_GROUPS = ("model", "loss", "optimizer", "ema", "swa", "distill", "runtime")
GRAPH_SETTINGS = ("train.accumulate_steps", "train.recompute", "augment.mixup", "augment.cutmix")
NOT_IN_GRAPH = {
    "model.name",
    "model.checkpoint",
    "model.resize_pos_embed",
    "optimizer.lr",
    "optimizer.lr_base_batch_size",
}
NOT_IN_GRAPH |= {f"model.{name}" for name in ("crop_pct", "interpolation", "mean", "resize", "std")}


def graph_of(job):
    settings = flatten(yaml.safe_load(job.recipe))
    return tuple(
        f"{name}: {value}"
        for name, value in sorted(settings.items())
        if (name.partition(".")[0] in GRAPH_GROUPS and name not in NOT_IN_GRAPH) or name in GRAPH_SETTINGS
    )


@pytest.fixture(scope="module")
def compiled():
    jobs = {name: small_job(name, **(TEACHER if "distilled" in name else {})) for name in NAMES}
    distinct = {graph_of(job): job for job in jobs.values()}
    found = dict(zip(distinct, compile_jobs(list(distinct.values())), strict=True))
    return {name: found[graph_of(job)] for name, job in jobs.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_step_uses_kernels_of_ascend_alone(name, compiled):
    assert_runs_on_ascend(compiled[name])
    assert {"FlashAttentionScore", "FlashAttentionScoreGrad"} <= set(names(compiled[name]))


@pytest.mark.parametrize("name", [name for name in NAMES if "distilled" in name])
def test_the_teacher_is_compiled_with_the_student_and_said_not_to_be_loaded(name, compiled):
    attentions = names(compiled[name])
    # Two blocks of each network; the teacher has no gradient.
    assert (attentions.count("FlashAttentionScore"), attentions.count("FlashAttentionScoreGrad")) == (4, 2)
    assert any("the teacher is not loaded" in note for note in compiled[name].log.notes)
