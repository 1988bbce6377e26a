"""Evaluates a checkpoint on a data set. Prints a table, and writes JSON."""

from dataclasses import asdict, dataclass, field, fields
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
from mindvit.evaluation.eval_data import EvalData, open_eval_data
from mindvit.evaluation.metrics import Evaluation, EvaluationCell, evaluate_model, metrics
from mindvit.factory import TrainedModel, load_trained
from mindvit.files import make_folder, write_text
from mindvit.models.setting_names import nearest_setting
from mindvit.option_names import OPTION_NAMES
from mindvit.printable import first_names, printable
from mindvit.runtime import Runtime, RuntimeSettings, apply_amp, current_runtime, init_runtime
from mindvit.strict_json import dump_json

_SHOWN = 10
"""Names of skipped images or omitted classes in the table; the JSON has all of them."""


@dataclass(frozen=True)
class EvalSettings:
    """Evaluation of a checkpoint. Only --ckpt is required if the checkpoint names its data."""

    ckpt: str
    """Checkpoint: a path, or the name of a file in ckpt/."""
    data: EvalDataSettings = field(default_factory=EvalDataSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    output: str | None = None
    """JSON file to write the metrics to. null writes none."""
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
    """Evaluates a checkpoint on every image of a split exactly once, prints a table, and writes JSON if asked to.

    The JSON has ``top1`` and ``top5`` in percent, ``loss``, ``num_images``, and what was evaluated. With
    ``data.on_corrupt`` skip it also has ``skipped_images``, the list of corrupt images. If only some classes of the
    source are evaluated, it also has ``other_classes`` and ``images_of_other_classes``, their number. If the checkpoint
    was trained on the evaluated images, it also has ``on_training_images``.

    Raises:
        UserError: for a mistake in the settings, the checkpoint or the data, or if no image can be decoded.
    """
    runtime = init_runtime(settings.runtime)
    with raise_on_any_rank():
        if settings.output and runtime.is_main:
            make_folder(Path(settings.output).parent)
    trained, found = local_rank_zero_first(lambda: _open(settings))
    check_same_on_all_ranks({"ckpt": settings.ckpt, "data": str(found.labelled.fingerprint())})
    result, skipped = _evaluate(trained, found, settings.data, runtime, show_progress=True)
    if runtime.is_main:
        about = {"ckpt": settings.ckpt, "model": trained.metadata.model_name, "data": found.labelled.origin}
        others = found.omitted_classes()
        print(_table(about, result, skipped, others))
        if settings.output:
            seen = {"on_training_images": True} if found.on_training_images else {}
            content = _as_json(result) | others | seen | ({} if skipped is None else {"skipped_images": skipped})
            write_text(Path(settings.output), dump_json({**content, **about}, indent=2) + "\n")
    return result


def _as_json(result: Evaluation) -> dict[str, Any]:
    content = asdict(result)
    del content["num_not_finite"]  # Otherwise it is an error.
    return content


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
    model = Model(network, metrics=metrics(), eval_network=EvaluationCell(network))
    corrupt = CorruptImageLog() if data.on_corrupt == "skip" else None
    shard = {"rank": runtime.rank, "world_size": runtime.world_size}
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
    return result, skipped


def _open(settings: EvalSettings) -> tuple[TrainedModel, EvalData]:
    trained = load_trained(settings.ckpt, settings.download)
    return trained, open_eval_data(settings.data, trained.metadata, settings.ckpt, settings.download)


def _skipped_by_all_ranks(corrupt: CorruptImageLog, split: Split) -> list[str]:
    names = [split.describe(index) for index in range(len(split))]
    counts = all_reduce_sum(np.array([name in corrupt.found for name in names], np.float64))
    return [name for name, count in zip(names, counts, strict=True) if count]


def _table(about: dict[str, str], result: Evaluation, skipped: list[str] | None, others: dict[str, Any]) -> str:
    rows = {
        **about,
        "Top-1": f"{result.top1:.2f} %",
        "Top-5": f"{result.top5:.2f} %",
        "loss": f"{result.loss:.4f}",
        "images": f"{result.num_images:,}",
    }
    if others:
        rows["omitted"] = (
            f"{others['images_of_other_classes']:,} of other classes: {first_names(others['other_classes'], _SHOWN)}"
        )
    if skipped is not None:
        rows["skipped"] = f"{len(skipped):,} corrupt{': ' if skipped else ''}{first_names(skipped, _SHOWN)}"
    return "\n".join(f"{key:<8} {printable(value)}" for key, value in rows.items())
