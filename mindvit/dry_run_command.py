"""The command ``mindvit dry-run``: what a recipe comes to on an Ascend, on a machine without one."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal

import yaml

from mindvit.config import plain
from mindvit.dry_run.compile_jobs import CompileJob, check_ranks, checked, compile_jobs
from mindvit.dry_run.report import LIMITS, DryRunReport, make_report, show
from mindvit.dry_run.roofline import DeviceModel
from mindvit.files import make_folder, write_text
from mindvit.strict_json import dump_json
from mindvit.training.recipe import Recipe


@dataclass(frozen=True)
class DryRunSettings(Recipe):
    """A dry run: a recipe, and what to compile of it."""

    ranks: int = 1
    """Number of ranks of the job; rank 0 is compiled."""
    jit_level: Literal["O0", "O1"] | None = None
    """Level of MindSpore's compiler: O0 launches each operator, O1 fuses some. null takes that of the recipe."""
    network: Literal["own", "stock"] = "own"
    """own: this project. stock: the same sizes in the tutorial's plain cells, to compare with."""
    step: Literal["train", "eval", "both"] = "both"
    """train: the training step. eval: the forward pass of evaluation. both: one after the other."""
    num_classes: int | None = None
    """Outputs of the head. null takes the classes of the data source, or 1000 if only its images tell."""
    device_model: DeviceModel = field(default_factory=DeviceModel)
    output: str | None = None
    """File to write, .json: the report, with all kernels. null writes none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_graph_mode()
        check_ranks(self.ranks)
        if self.num_classes is not None and self.num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, not {self.num_classes}")
        if self.output is not None and not self.output.endswith(".json"):
            raise ValueError(f"output must end in .json, not {self.output}")

    def recipe(self) -> str:
        """The recipe alone, YAML."""
        values = plain(self)
        return yaml.safe_dump({item.name: values[item.name] for item in fields(Recipe)}, sort_keys=False)


def dry_run(settings: DryRunSettings) -> None:
    """Compiles the graphs of a recipe for Ascend, prints a table of each, and writes the report.

    The report is that of the training step, with that of evaluation under the key ``evaluation``.

    Raises:
        UserError: if a graph does not compile, a tool is missing, or the report cannot be written.
    """
    if settings.output is not None:
        make_folder(Path(settings.output).parent)
    steps = ("train", "eval") if settings.step == "both" else (settings.step,)
    reports = [_compiled(settings, step) for step in steps]
    print(LIMITS)
    if settings.output is not None:
        content = asdict(reports[0]) | ({"evaluation": asdict(reports[1])} if len(reports) > 1 else {})
        write_text(Path(settings.output), dump_json(content, indent=2) + "\n")


def _compiled(settings: DryRunSettings, step: str) -> DryRunReport:
    job = CompileJob(settings.recipe(), step, settings.network, settings.jit_level, settings.num_classes)
    # A process of its own for each graph: what the training step allocates is not evaluation's.
    (compilation,) = compile_jobs([job], settings.ranks, settings.device_model)
    report = make_report(job, settings.ranks, settings.device_model, settings.device_memory_gb, checked(compilation))
    show(report)
    print()
    return report
