"""Whether the training step of a recipe compiles for Ascend and fits into the memory of the device."""

import yaml

from mindvit.distributed import is_distributed
from mindvit.dry_run.compile_jobs import CompileJob, checked, compile_jobs
from mindvit.dry_run.report import LIMITS, make_report, show
from mindvit.dry_run.roofline import DeviceModel
from mindvit.errors import UserError


def check_step(recipe: dict, memory_gb: float, ranks: int = 1) -> None:
    """Compiles the training step of a recipe and prints the report. Nothing is opened, and no run folder is written.

    Args:
        recipe: the recipe, as JSON and YAML represent it.
        memory_gb: memory of the device in GB of 2^30 bytes.
        ranks: number of ranks.

    Raises:
        UserError: if the step does not compile, uses an operator without an Ascend kernel, or does not fit.
    """
    if is_distributed():
        raise UserError("dry_run compiles in one process; start it without msrun, or by mindvit launch")
    job = CompileJob(yaml.safe_dump(recipe))
    device = DeviceModel()
    (compilation,) = compile_jobs([job], ranks, device)
    report = make_report(job, ranks, device, memory_gb, checked(compilation))
    show(report)
    if report.cpu_fallbacks:
        raise UserError(
            f"{len(report.cpu_fallbacks)} operators of the step have no Ascend kernel, the first is "
            f"{report.cpu_fallbacks[0]}; change the settings that it comes from"
        )
    if not report.fits:
        raise UserError(
            f"the step takes {report.peak_memory_mb:,} MB, but the device has {memory_gb:g} GB; set a smaller "
            "data.batch_size with more train.accumulate_steps, or train.recompute true"
        )
    print(f"the step compiles and fits. {LIMITS}")
