"""The training step of every recipe compiles for Ascend and uses its kernels alone."""

import pytest

from mindvit.dry_run.compile_jobs import compile_jobs
from tests.ascend.compiling import MARKS, assert_runs_on_ascend, names, small_job
from tests.conftest import ROOT

pytestmark = MARKS
NAMES = sorted(path.name for path in (ROOT / "configs").glob("*.yaml"))
TEACHER = {"distill__teacher": "teacher.ckpt"}


@pytest.fixture(scope="module")
def compiled():
    jobs = [small_job(name, **(TEACHER if "distilled" in name else {})) for name in NAMES]
    return dict(zip(NAMES, compile_jobs(jobs), strict=True))


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
