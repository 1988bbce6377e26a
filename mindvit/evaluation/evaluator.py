"""Evaluates a checkpoint on a data set. Prints tables, and writes JSON and CSV."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from mindspore.train import Callback, Model, RunContext
from tqdm import tqdm

from mindvit.data.corrupt_images import CorruptImageLog, reraise_decode_errors
from mindvit.data.pipeline import eval_pipeline
from mindvit.data.settings import EvalDataSettings
from mindvit.data.split import Split
from mindvit.distributed import all_reduce_sum, check_same_on_all_ranks, local_rank_zero_first, raise_on_any_rank
from mindvit.errors import UserError
from mindvit.evaluation.error_analysis import analyze_errors
from mindvit.evaluation.eval_data import EvalData, open_eval_data
from mindvit.evaluation.evaluation_file import EvaluationRecord, prepare_output, write_evaluation
from mindvit.evaluation.evaluation_table import evaluation_table
from mindvit.evaluation.image_predictions import PredictionCollector
from mindvit.evaluation.metrics import Evaluation, EvaluationCell, evaluate_model, metrics
from mindvit.factory import TrainedModel, load_trained
from mindvit.graph_cache.cached_compile import cache_graphs
from mindvit.models.setting_names import nearest_setting
from mindvit.option_names import OPTION_NAMES
from mindvit.runtime import Runtime, RuntimeSettings, apply_amp, current_runtime, init_runtime


@dataclass(frozen=True)
class EvalSettings:
    """Evaluation of a checkpoint. Only --ckpt is required if the checkpoint names its data."""

    ckpt: str
    """Checkpoint: a path, or the name of a file in ckpt/."""
    data: EvalDataSettings = field(default_factory=EvalDataSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    output: str | None = None
    """A file that ends in .json, or a folder: evaluation.json and tables as CSV. null writes none."""
    download: bool = False
    """Download published data and weights that are missing."""


class _ProgressBar(Callback):
    def on_eval_begin(self, run_context: RunContext) -> None:
        self.bar = tqdm(total=run_context.original_args().batch_num, unit="batch", desc="evaluating", leave=False)

    def on_eval_step_end(self, run_context: RunContext) -> None:
        self.bar.update(1)

    def __exit__(self, *error: object) -> None:
        self.bar.close()


def evaluate(model: TrainedModel | str | Path, path: str | Path | None = None, **data: Any) -> Evaluation:
    """Evaluates a model on every image of a split exactly once, in the current process.

    It uses the device and the mode (graph or PyNative) that MindSpore is set to, in float32.

    Args:
        model: what ``load_trained`` returns, or a checkpoint: a path, or the name of a file in ``ckpt/``.
        path: folder of the data source; by default that of the checkpoint.
        data: other fields of ``mindvit.data.settings.EvalDataSettings``, such as ``source`` and ``batch_size``.

    Raises:
        UserError: for a mistake in the settings, the checkpoint or the data, or if no image can be decoded.
    """
    try:
        settings = EvalDataSettings(path=None if path is None else str(path), **_known(data))
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error
    trained = model if isinstance(model, TrainedModel) else load_trained(str(model))
    found = open_eval_data(settings, trained.metadata, "the model", download=False)
    return _evaluate(trained, found, settings, current_runtime())[0]


def evaluate_checkpoint(settings: EvalSettings) -> Evaluation:
    """Evaluates a checkpoint on every image of a split exactly once, prints tables, and writes files if asked to.

    The JSON is an ``EvaluationRecord``. With ``data.on_corrupt`` skip it has ``skipped_images``, the list of corrupt
    images. If only some classes of the source are evaluated, it has ``other_classes`` and ``images_of_other_classes``,
    their number. If the checkpoint was trained on the evaluated images, it has ``on_training_images``.

    Raises:
        UserError: for a mistake in the settings, the checkpoint or the data, or if no image can be decoded.
    """
    runtime = init_runtime(settings.runtime)
    output = Path(settings.output) if settings.output else None
    with raise_on_any_rank():
        if output and runtime.is_main:
            prepare_output(output)
    trained, found = local_rank_zero_first(lambda: _open(settings))
    check_same_on_all_ranks({"ckpt": settings.ckpt, "data": str(found.labelled.fingerprint())})
    result, record = evaluate_opened(trained, found, settings, runtime)
    if runtime.is_main:
        print(evaluation_table(record))
        if output:
            write_evaluation(output, record, result.predictions, found.labelled)
    return result


def evaluate_opened(
    trained: TrainedModel, found: EvalData, settings: EvalSettings, runtime: Runtime
) -> tuple[Evaluation, EvaluationRecord]:
    """Evaluates a checkpoint that is loaded on data that are opened; shows a progress bar.

    Returns:
        The evaluation, and what its JSON file holds.

    Raises:
        UserError: if no image can be decoded, or the outputs are not finite.
    """
    result, skipped = _evaluate(trained, found, settings.data, runtime, show_progress=True)
    record = EvaluationRecord.of(
        result,
        ckpt=settings.ckpt,
        model=trained.metadata.model_name,
        data=found.labelled.origin,
        on_training_images=found.on_training_images,
        skipped_images=None if skipped is None else tuple(skipped),
        **found.omitted_classes(),
    )
    return result, record


def _known(data: dict[str, Any]) -> dict[str, Any]:
    """The settings as they are, after a check of their names.

    Raises:
        ValueError: for an unknown setting, naming the nearest.
    """
    names = [item.name for item in fields(EvalDataSettings)]
    for name in data:
        if name not in names:
            nearest = nearest_setting(name, names, OPTION_NAMES)
            raise ValueError(f"an evaluation has no setting {name!r}; the nearest is {nearest!r}")
    return data


def _evaluate(
    trained: TrainedModel, found: EvalData, data: EvalDataSettings, runtime: Runtime, show_progress: bool = False
) -> tuple[Evaluation, list[str] | None]:
    """The metrics, and the corrupt images that all ranks skipped (None if they are an error)."""
    network = apply_amp(trained.network, runtime)
    shard = {"rank": runtime.rank, "world_size": runtime.world_size}
    measured = {**metrics(), "predictions": PredictionCollector(**shard)}
    cell = EvaluationCell(network)
    if runtime.compile_cache:
        cache_graphs(cell)
    model = Model(network, metrics=measured, eval_network=cell)
    corrupt = CorruptImageLog() if data.on_corrupt == "skip" else None
    split = found.labelled
    batches = eval_pipeline(split, trained.metadata.model, data.batch_size, data.num_workers, corrupt=corrupt, **shard)
    with reraise_decode_errors(split):
        result = evaluate_model(model, batches, [_ProgressBar()] if show_progress and runtime.is_main else None)
    skipped = None if corrupt is None else _skipped_by_all_ranks(corrupt, split)
    if result.num_not_finite:
        raise UserError(
            f"the outputs of the network are not finite for {result.num_not_finite:,} of {result.num_images:,} images; "
            + ("the weights are broken" if runtime.amp_level == "O0" else "use runtime.amp_level O0")
        )
    if result.num_images == 0:
        raise UserError(f"{split.origin} has no image that can be decoded")
    return replace(result, analysis=analyze_errors(result.predictions, split)), skipped


def _open(settings: EvalSettings) -> tuple[TrainedModel, EvalData]:
    trained = load_trained(settings.ckpt, settings.download)
    return trained, open_eval_data(settings.data, trained.metadata, settings.ckpt, settings.download)


def _skipped_by_all_ranks(corrupt: CorruptImageLog, split: Split) -> list[str]:
    names = [split.describe(index) for index in range(len(split))]
    counts = all_reduce_sum(np.array([name in corrupt.found for name in names], np.float64))
    return [name for name, count in zip(names, counts, strict=True) if count]
