import pytest

from mindvit.dry_run import fit_check
from mindvit.dry_run.compile_jobs import Compilation
from mindvit.dry_run.compile_log import CompileLog
from mindvit.dry_run.fit_check import check_step
from mindvit.errors import UserError
from mindvit.training.recipe import Recipe
from mindvit.training.trainer import train
from tests.dry_run.test_report import FACTS, KERNELS, NODES


@pytest.fixture
def compiled(monkeypatch):
    """Replaces the compiler by one that finds the given, and returns the jobs that it gets."""
    asked = []

    def make(error=None, **log):
        def compile_jobs(jobs, ranks, device):
            asked.append((jobs, ranks))
            return [Compilation(CompileLog(list(KERNELS), **log), NODES, dict(FACTS), error)]

        monkeypatch.setattr(fit_check, "compile_jobs", compile_jobs)
        return asked

    return make


def test_a_step_that_compiles_and_fits_is_said_to(compiled, capsys):
    asked = compiled()
    check_step({"model": {"name": "vit_s_16_224"}}, memory_gb=64, ranks=8)
    assert "the step compiles and fits. A dry run proves" in capsys.readouterr().out
    (((job,), ranks),) = asked
    assert (job.step, ranks) == ("train", 8)
    assert "vit_s_16_224" in job.recipe


def test_a_step_that_does_not_fit_is_refused_with_what_to_set(compiled):
    compiled()
    with pytest.raises(UserError, match=r"takes 4,001 MB, but the device has 3 GB; .*data\.batch_size.*recompute"):
        check_step({}, memory_gb=3)


def test_a_step_with_an_operator_of_the_cpu_is_refused(compiled):
    compiled(cpu_fallbacks=["Default/network-ViT/Cholesky-op0"])
    with pytest.raises(UserError, match="1 operators of the step have no Ascend kernel, the first is Default/network"):
        check_step({}, memory_gb=64)


def test_a_step_that_does_not_compile_is_refused(compiled):
    compiled(error="the graph does not compile for Ascend: why")
    with pytest.raises(UserError, match="does not compile for Ascend: why"):
        check_step({}, memory_gb=64)


def test_training_with_dry_run_writes_nothing(compiled, tmp_path):
    compiled()
    assert train(Recipe(output_dir=str(tmp_path / "run"), dry_run=True)) is None
    assert list(tmp_path.iterdir()) == []


def test_the_program_ends_with_an_error_if_the_step_does_not_fit(compiled, fails_with):
    compiled()
    options = ["--config", "configs/digits.yaml", "--dry_run", "true", "--device_memory_gb", "2"]
    fails_with(["the step takes 4,001 MB", "2 GB"], "train.py", *options)


def test_the_launcher_compiles_for_its_number_of_ranks_and_starts_none(compiled, monkeypatch, tmp_path):
    from mindvit.launch import launcher

    asked = compiled()
    monkeypatch.setenv("NPROC", "8")
    monkeypatch.setenv("NNODES", "2")
    monkeypatch.setattr(launcher, "supervise", lambda *_: pytest.fail("ranks were started"))
    launcher.launch(["train", "--dry_run", "true", "--output_dir", str(tmp_path / "run")], "launch")
    assert asked[0][1] == 16
    assert not (tmp_path / "run").exists()


def test_ranks_of_msrun_do_not_all_compile(compiled, monkeypatch):
    compiled()
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    with pytest.raises(UserError, match="start it without msrun"):
        check_step({}, memory_gb=64)
