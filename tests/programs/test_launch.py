"""The launcher's errors before any rank is started, and its help."""

import pytest

from tests.programs.jobs import finish, start


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["configs/digits.yaml", "--optimizer.rl", "1"], {}, "unknown setting 'optimizer.rl'; the nearest is"),
        (["configs/nothing.yaml"], {}, "cannot read the recipe configs/nothing.yaml"),
        ([], {"NNODES": "2", "NODE_RANK": "5"}, "NODE_RANK is 5, but with NNODES=2 it must be from 0 to 1"),
    ],
)
def test_a_mistake_is_reported_before_any_rank_is_started(tmp_path, arguments, environment, message):
    job = start("run_distribute_train.sh", *arguments, "--output_dir", tmp_path / "run", **environment)
    code, _, err = finish(job)
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert not (tmp_path / "run").exists()


def test_the_evaluation_script_asks_for_a_checkpoint():
    code, _, err = finish(start("run_distribute_eval.sh"))
    assert code == 2
    assert err.startswith("error: no checkpoint given: bash scripts/run_distribute_eval.sh CKPT")
