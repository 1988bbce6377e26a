import json

import pytest
import yaml

from mindvit import dry_run_command
from mindvit.dry_run.compile_jobs import Compilation
from mindvit.dry_run.compile_log import CompileLog
from mindvit.dry_run_command import DryRunSettings, dry_run
from mindvit.errors import UserError
from mindvit.parsing import load_recipe, parse
from mindvit.training.recipe import Recipe
from tests.conftest import ROOT
from tests.dry_run.test_report import FACTS, KERNELS, NODES


def read(*options):
    return parse(DryRunSettings, "", ["--config", str(ROOT / "configs/deit_b_16.yaml"), *options])[0]


@pytest.fixture
def jobs(monkeypatch):
    """Replaces the compiler; returns what it is asked to compile."""
    asked = []

    def compile_jobs(jobs, ranks, device):
        asked.append((jobs[0], ranks, device))
        return [Compilation(CompileLog(list(KERNELS)), NODES, dict(FACTS))]

    monkeypatch.setattr(dry_run_command, "compile_jobs", compile_jobs)
    return asked


def test_the_recipe_reaches_the_compiler_with_its_overrides(jobs, tmp_path):
    settings = read("--data.batch_size", "64", "--ranks", "8", "--jit_level", "O1", "--step", "train")
    dry_run(settings)
    ((job, ranks, device),) = jobs
    (tmp_path / "recipe.yaml").write_text(job.recipe)
    assert load_recipe(tmp_path / "recipe.yaml") == load_recipe(
        ROOT / "configs/deit_b_16.yaml", {"data.batch_size": 64}
    )
    assert (ranks, job.jit_level, job.step, job.network) == (8, "O1", "train", "own")
    assert device.soc == "Ascend910B1"


def test_the_report_has_all_figures_of_training_and_evaluation(jobs, tmp_path, capsys):
    output = tmp_path / "reports/dry_run.json"
    dry_run(read("--output", str(output), "--device_memory_gb", "32"))
    assert [job.step for job, *_ in jobs] == ["train", "eval"]
    written = json.loads(output.read_text())
    assert (written["kernels"], written["views"], written["peak_memory_mb"]) == (4, 1, 4001)
    assert written["kernels_by_name"]["Cast"] == 2
    assert written["cpu_fallbacks"] == []
    assert written["collectives"] == {"AllReduce": 1}
    assert written["kernel_list"][0] == {
        "name": "Cast",
        "type": "aclnn",
        "bytes": 16,
        "flops": 0,
        "node": "Default/Cast-op0",
    }
    assert written["estimate"]["step_ms"] > 0
    assert (written["step"], written["evaluation"]["step"]) == ("train", "eval")
    out = capsys.readouterr().out
    assert out.count("fits into 32 GB") == 2
    assert "It computes no value" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ranks", "0"], "ranks must lie in [1, 65,536], not 0"),
        (["--output", "report.txt"], "output must end in .json, not report.txt"),
        (["--num_classes", "0"], "num_classes must be at least 1, not 0"),
        (["--device_memory_gb", "0"], "device_memory_gb must be above 0, not 0"),
        (["--device_model.launch_us", "-1"], "device_model.launch_us must be above 0, not -1"),
        (["--jit_level", "O2"], "jit_level must be one of O0, O1 or null, not O2"),
        (["--runtime.mode", "pynative"], "a dry run compiles graphs, but runtime.mode is pynative; set it to graph"),
        (["--step", "both", "--jitlevel", "O1"], "unknown setting 'jitlevel'; the nearest is 'jit_level'"),
    ],
)
def test_mistakes_are_named(options, words):
    with pytest.raises(UserError) as error:
        read(*options)
    assert words in str(error.value)


def test_train_refuses_a_dry_run_of_what_is_not_compiled():
    options = ["--dry_run", "true", "--runtime.mode"]
    with pytest.raises(UserError, match=r"a dry run compiles graphs, but runtime\.mode is pynative"):
        parse(Recipe, "", [*options, "pynative"])
    assert parse(Recipe, "", [*options, "graph"])[0].dry_run


def test_a_recipe_is_compiled_as_its_settings_stand():
    assert DryRunSettings().recipe() == yaml.safe_dump(yaml.safe_load(DryRunSettings().recipe()), sort_keys=False)
    assert set(yaml.safe_load(DryRunSettings().recipe())) == set(Recipe.__dataclass_fields__)
