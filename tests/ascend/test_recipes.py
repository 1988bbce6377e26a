"""The training step of every recipe compiles for Ascend and uses its kernels alone."""

import pytest
import yaml

from mindvit.dry_run.compile_jobs import compile_jobs
from tests.ascend.compiling import MARKS, assert_runs_on_ascend, names, small_job
from tests.conftest import ROOT
from tests.recipe_graphs import graph_of

pytestmark = MARKS
NAMES = sorted(path.name for path in (ROOT / "configs").glob("*.yaml"))
TEACHER = {"distill__teacher": "teacher.ckpt"}
# In one block, the mode linear would leave out drop path.
ONE_BLOCK = {"model__depth": 1, "model__drop_path_mode": "constant"}


@pytest.fixture(scope="module")
def compiled():
    jobs = {name: small_job(name, **ONE_BLOCK, **(TEACHER if "distilled" in name else {})) for name in NAMES}
    distinct = {graph_of(yaml.safe_load(job.recipe)): job for job in jobs.values()}
    found = dict(zip(distinct, compile_jobs(list(distinct.values())), strict=True))
    return {name: found[graph_of(yaml.safe_load(job.recipe))] for name, job in jobs.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_step_uses_kernels_of_ascend_alone(name, compiled):
    assert_runs_on_ascend(compiled[name])
    assert {"FlashAttentionScore", "FlashAttentionScoreGrad"} <= set(names(compiled[name]))


@pytest.mark.parametrize("name", [name for name in NAMES if "distilled" in name])
def test_the_teacher_is_compiled_with_the_student_and_said_not_to_be_loaded(name, compiled):
    attentions = names(compiled[name])
    # One block of each network; the teacher has no gradient.
    assert (attentions.count("FlashAttentionScore"), attentions.count("FlashAttentionScoreGrad")) == (2, 1)
    assert any("the teacher is not loaded" in note for note in compiled[name].log.notes)
