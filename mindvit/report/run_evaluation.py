"""The evaluation of a run's best checkpoint: what the run folder holds, or a new one; and images of it."""

from dataclasses import dataclass, field
from pathlib import Path

from mindvit.data.settings import EvalDataSettings
from mindvit.data.split import Split
from mindvit.errors import UserError
from mindvit.evaluation.eval_data import open_eval_data
from mindvit.evaluation.evaluation_file import (
    JSON_NAME,
    EvaluationRecord,
    prepare_output,
    read_evaluation,
    write_evaluation,
)
from mindvit.evaluation.evaluator import EvalSettings, evaluate_opened
from mindvit.evaluation.metrics import Evaluation
from mindvit.factory import TrainedModel, load_trained
from mindvit.report.embedded_images import AttentionView, attention_views, thumbnail
from mindvit.report.run_record import RunRecord
from mindvit.runtime import RuntimeSettings, init_runtime


@dataclass(frozen=True)
class RunEvaluation:
    """What a report says about the best checkpoint of a run."""

    record: EvaluationRecord | None
    """The evaluation; None if there is none."""
    thumbnails: dict[int, str] = field(default_factory=dict)
    """Images of mistakes as data URIs, by their index in the split."""
    attention: list[AttentionView] = field(default_factory=list)
    """Attention maps of some images."""
    notes: list[str] = field(default_factory=list)
    """What is missing, and why."""


@dataclass(frozen=True)
class EvaluationOptions:
    """How a report gets its evaluation."""

    evaluate: bool
    """Whether to evaluate if the run folder has no evaluation."""
    data: EvalDataSettings
    runtime: RuntimeSettings
    mistakes: int
    """Mistakes to show as images."""
    attention: int
    """Images to show with their attention maps."""


def evaluate_run(run: RunRecord, options: EvaluationOptions) -> RunEvaluation:
    """The evaluation of a run: the one in its folder unless it is older than the checkpoint, or else a new one.

    A new evaluation is written to ``evaluation/`` in the run folder, as ``eval.py --output`` writes it. What fails
    becomes a note, so that there is a report on what there is.
    """
    notes: list[str] = []
    checkpoint = run.best_checkpoint
    record = _stored(run, checkpoint, notes)
    if checkpoint is None:
        return RunEvaluation(record, notes=[*notes, "The run folder has no best.ckpt and no last.ckpt."])
    if record is None and not options.evaluate:
        return RunEvaluation(None, notes=[*notes, "There is no evaluation (evaluate is false)."])
    try:
        runtime = init_runtime(options.runtime)
        trained = load_trained(str(checkpoint))
        found = open_eval_data(options.data, trained.metadata, str(checkpoint), download=False)
        split = found.labelled
        if record is not None and options.evaluate and options.data != EvalDataSettings():
            record = record if record.data == split.origin else None  # Of the data that the options name.
        if record is None:
            settings = EvalSettings(str(checkpoint), options.data, options.runtime)
            result, record = evaluate_opened(trained, found, settings, runtime)
            _store(run, record, result, split, notes)
    except UserError as error:
        what = "images and attention maps" if record else "the evaluation"
        return RunEvaluation(record, notes=[*notes, f"Without {what}: {error}."])
    images = _thumbnails(record, split, options.mistakes, notes)
    return RunEvaluation(record, images, _attention(record, split, trained, options.attention, notes), notes)


def _stored(run: RunRecord, checkpoint: Path | None, notes: list[str]) -> EvaluationRecord | None:
    path = run.folder.evaluation / JSON_NAME
    try:
        if not path.exists():
            return None
        if checkpoint is not None and path.stat().st_mtime < checkpoint.stat().st_mtime:
            return None  # Of earlier weights.
        return read_evaluation(path)
    except (OSError, UserError) as error:
        notes.append(f"The evaluation of the run folder is not used: {error}.")
        return None


def _store(run: RunRecord, record: EvaluationRecord, result: Evaluation, split: Split, notes: list[str]) -> None:
    try:
        prepare_output(run.folder.evaluation)
        write_evaluation(run.folder.evaluation, record, result.predictions, split)
    except UserError as error:  # A run folder that others own can still be reported on.
        notes.append(f"The evaluation was not kept: {error}.")


def _thumbnails(record: EvaluationRecord, split: Split, count: int, notes: list[str]) -> dict[int, str]:
    """Images of the first mistakes. An index must still mean the image that was evaluated."""
    found, changed = {}, 0
    for item in record.mistakes[:count]:
        if item.index >= len(split) or split.describe(item.index) != item.file:
            changed += 1
            continue
        try:
            found[item.index] = thumbnail(split.read(item.index))
        except UserError as error:
            notes.append(f"{error}.")
    if changed:
        notes.append(f"{changed} images of mistakes are left out: the data have changed since the evaluation.")
    return found


def _attention(
    record: EvaluationRecord, split: Split, trained: TrainedModel, count: int, notes: list[str]
) -> list[AttentionView]:
    """Attention maps: of mistakes for half of the images, and of images from all over the split."""
    wrong = [item.index for item in record.mistakes[: count // 2] if item.index < len(split)]
    others = [(2 * number + 1) * len(split) // (2 * count) for number in range(count)]
    chosen = [*wrong, *(index for index in others if index not in wrong)][: min(count, len(split))]
    if not chosen:
        return []
    try:
        return attention_views(trained, split, chosen)
    except (UserError, ValueError) as error:
        notes.append(f"Without attention maps: {error}.")
        return []
