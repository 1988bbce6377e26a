"""The command ``mindvit report``: one HTML page on a run, or on two runs side by side."""

from dataclasses import dataclass, field
from pathlib import Path

from mindvit.data.settings import EvalDataSettings
from mindvit.errors import UserError
from mindvit.files import make_folder, write_text
from mindvit.printable import printable
from mindvit.report.page import render_page
from mindvit.report.run_evaluation import EvaluationOptions, evaluate_run
from mindvit.report.run_record import read_run
from mindvit.runtime import RuntimeSettings


@dataclass(frozen=True)
class ReportSettings:
    """A report on a run, as one HTML page that needs no network."""

    run: str
    """Run folder: the output_dir of a run, whether it has ended or not."""
    compare: str | None = None
    """A second run folder, to compare with. null reports on one run."""
    output: str | None = None
    """HTML file to write. null writes report.html into the first run folder."""
    evaluate: bool = True
    """Evaluate best.ckpt on its validation images if the run folder has no evaluation of it."""
    mistakes: int = 24
    """Most confident mistakes to show as images."""
    attention: int = 6
    """Images to show with their attention maps. 0 shows none."""
    data: EvalDataSettings = field(default_factory=EvalDataSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)

    def __post_init__(self) -> None:
        for name in ("mistakes", "attention"):
            if not 0 <= getattr(self, name) <= 100:
                raise ValueError(f"{name} must lie between 0 and 100, not {getattr(self, name)}")


def make_report(settings: ReportSettings) -> Path:
    """Writes the report, and prints where it is.

    Returns:
        The HTML file.

    Raises:
        UserError: if a run folder is missing or holds no run, or the page cannot be written.
    """
    runs = [read_run(Path(path)) for path in (settings.run, settings.compare) if path is not None]
    target = Path(settings.output) if settings.output else runs[0].folder.report
    if target.is_dir() or target.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"output must be a file that ends in .html, not {printable(str(target))}")
    make_folder(target.parent)
    options = EvaluationOptions(
        settings.evaluate, settings.data, settings.runtime, settings.mistakes, settings.attention
    )
    evaluations = [evaluate_run(run, options) for run in runs]
    for run, evaluation in zip(runs, evaluations, strict=True):
        for note in (*run.notes, *evaluation.notes):
            print(f"note: {printable(run.name)}: {printable(note)}")
    write_text(target, render_page(runs, evaluations))
    print(f"wrote {printable(str(target))}")
    return target
