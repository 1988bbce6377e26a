"""The formula of the memory of a step agrees with MindSpore's plan for an Ascend."""

import pytest
import yaml

from mindvit.analysis.memory import StepConfig, estimate_memory
from mindvit.config import plain
from mindvit.dry_run.compile_jobs import CompileJob, checked, compile_jobs
from mindvit.factory import resolve_config
from mindvit.parsing import load_recipe
from tests.ascend.compiling import MARKS
from tests.conftest import ROOT

pytestmark = MARKS
TUTORIAL, DEIT = "vit_b_16_224_tutorial.yaml", "deit_b_16.yaml"
# Widths and batches of a real run, because small networks consist of constants.
CASES = {
    "activations": (TUTORIAL, {"data.batch_size": 64}, {"batch_size": 64}),
    "recompute": (TUTORIAL, {"data.batch_size": 64, "train.recompute": True}, {"batch_size": 64, "recompute": True}),
    "clipping": (TUTORIAL, {"data.batch_size": 2, "optimizer.clip_norm": 1.0}, {"batch_size": 2, "clips": True}),
    "gradients": (TUTORIAL, {"data.batch_size": 2}, {"batch_size": 2}),
    "EMA": (DEIT, {"data.batch_size": 32}, {"batch_size": 32, "ema": True}),
}
DEPTH = 2


@pytest.fixture(scope="module")
def peaks():
    jobs = []
    for recipe, settings, _ in CASES.values():
        values = plain(load_recipe(ROOT / "configs" / recipe, {"train.steps": 1000, "model.depth": DEPTH, **settings}))
        jobs.append(CompileJob(yaml.safe_dump(values), num_classes=1000))
    found = compile_jobs(jobs)
    return {name: checked(item).facts["peak_memory_bytes"] for name, item in zip(CASES, found, strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_the_formula_is_within_a_tenth_of_the_plan(name, peaks):
    config = resolve_config("vit_b_16_224", num_classes=1000, depth=DEPTH)
    estimate = estimate_memory(config, StepConfig(amp_level="O2", **CASES[name][2]))
    assert estimate.total == pytest.approx(peaks[name], rel=0.1)
