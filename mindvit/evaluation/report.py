"""Evaluating a checkpoint, for a person (a table) and for a program (JSON)."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mindspore.train import Callback, Model, RunContext
from tqdm import tqdm

from mindvit.data.damage import Skipped, naming_damaged_pictures
from mindvit.data.pipeline import eval_pipeline
from mindvit.data.settings import EvalDataSettings
from mindvit.data.sources import open_source
from mindvit.data.split import Split
from mindvit.errors import UserError
from mindvit.evaluation.metrics import Evaluation, EvaluationCell, evaluate, metrics
from mindvit.factory import TrainedModel, load_trained
from mindvit.files import make_folder, write_text
from mindvit.runtime import RuntimeSettings, start, with_precision
from mindvit.weights.passport import Passport
from mindvit.workers import check_same, one_first, sum_over_workers, together

_SHOWN = 10
"""Names of skipped pictures, or of classes, on the screen; the JSON holds all."""


@dataclass(frozen=True)
class EvalSettings:
    """An evaluation. Only --ckpt is needed where the checkpoint knows its data."""

    ckpt: str
    """Checkpoint: a path, or the name of a file in ckpt/."""
    data: EvalDataSettings = field(default_factory=EvalDataSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    output: str | None = None
    """File that the figures are written to, as JSON."""
    download: bool = False
    """Fetch published data and weights that are missing."""


class _ProgressBar(Callback):
    def on_eval_begin(self, run_context: RunContext) -> None:
        self.bar = tqdm(total=run_context.original_args().batch_num, unit="batch", desc="evaluating", leave=False)

    def on_eval_step_end(self, run_context: RunContext) -> None:
        self.bar.update(1)

    def __exit__(self, *error: object) -> None:
        self.bar.close()


def evaluate_checkpoint(settings: EvalSettings) -> Evaluation:
    """Evaluates a checkpoint on every picture of a split exactly once; prints a table, and writes JSON if asked to.

    The JSON holds ``top1`` and ``top5`` in percent, ``loss`` and ``num_images``, and what was evaluated; where
    ``data.damaged`` is skip, also ``skipped_images``, the list of the pictures left out; where only a part of the
    source's classes is evaluated on, also ``other_classes`` and ``images_of_other_classes``, their number.

    Raises:
        UserError: for a mistake in the settings, the checkpoint or the data, or if no picture can be decoded.
    """
    runtime = start(settings.runtime)
    with together():
        if settings.output and runtime.is_main:
            make_folder(Path(settings.output).parent)
    trained, whole, part, split = one_first(lambda: _open(settings))
    check_same({"ckpt": settings.ckpt, "data": split.fingerprint()})
    network = with_precision(trained.network, runtime)
    model = Model(network, metrics=metrics(), eval_network=EvaluationCell(network))
    skipped = Skipped() if settings.data.damaged == "skip" else None
    batches = eval_pipeline(
        split,
        trained.passport.model,
        settings.data.batch_size,
        settings.data.num_workers,
        rank=runtime.rank,
        num_shards=runtime.world_size,
        skipped=skipped,
    )
    with naming_damaged_pictures(split):
        result = evaluate(model, batches, callbacks=[_ProgressBar()] if runtime.is_main else None)
    damaged = None if skipped is None else _skipped_by_all_workers(skipped, split)
    if result.num_images == 0:
        raise UserError(f"{split.origin} has no picture that can be decoded")
    if runtime.is_main:
        about = {"ckpt": settings.ckpt, "model": trained.passport.model_name, "data": split.origin}
        others = _left_out(whole, part)
        print(_table(about, result, damaged, others))
        if settings.output:
            figures = asdict(result) | others | ({} if damaged is None else {"skipped_images": damaged})
            write_text(Path(settings.output), json.dumps({**figures, **about}, indent=2) + "\n")
    return result


def _open(settings: EvalSettings) -> tuple[TrainedModel, Split, Split, Split]:
    """The model; the whole split, the part of it that is evaluated on, and that with the labels of the outputs."""
    trained = load_trained(settings.ckpt, settings.download)
    source_name, path = _whereabouts(settings.data, trained)
    whole = _open_split(settings, source_name, path)
    part = _choose_classes(whole, settings.data.classes, trained.passport)
    return trained, whole, part, _labelled(part, settings, trained)


def _whereabouts(data: EvalDataSettings, trained: TrainedModel) -> tuple[str, str | None]:
    passport = trained.passport
    if data.source is not None:
        return data.source, data.path or (passport.data_path if passport.data_source == data.source else None)
    if data.path is None:
        return passport.data_source, passport.data_path
    own_pictures = passport.data_source in ("folder", "digits")
    return ("folder" if own_pictures else passport.data_source), data.path


def _open_split(settings: EvalSettings, source_name: str, path: str | None) -> Split:
    split = getattr(open_source(source_name, path, settings.download), settings.data.split)
    if split is None:
        raise UserError(f"{path} has no {settings.data.split} split; choose the other with --data.split")
    return split


def _choose_classes(split: Split, chosen: tuple[str, ...] | None, passport: Passport) -> Split:
    """The part of a split that is asked for, or that the checkpoint was trained for where that was a part; else all."""
    if chosen is None and passport.is_part and passport.classes is not None:
        present = {split.classes.ids[label] for label in np.unique(split.labels)}
        chosen = tuple(name for name in passport.classes.ids if name in present)
    return split.of_classes(chosen) if chosen else split


def _labelled(split: Split, settings: EvalSettings, trained: TrainedModel) -> Split:
    """The split with the labels of the network's outputs."""
    classes, outputs = trained.passport.classes, trained.passport.model.num_classes
    if classes is not None:
        return split.relabel(classes)
    if len(split.classes) != outputs:
        raise UserError(f"{split.origin} has {len(split.classes)} classes, but {settings.ckpt} tells {outputs} apart")
    return split


def _left_out(whole: Split, part: Split) -> dict[str, Any]:
    """How many pictures are of classes that are not evaluated on, and of which, as the JSON has it."""
    if len(whole) == len(part):
        return {}
    others = [name for name in whole.classes.ids if name not in part.classes.ids]
    return {"images_of_other_classes": len(whole) - len(part), "other_classes": others}


def _skipped_by_all_workers(skipped: Skipped, split: Split) -> list[str]:
    names = [split.describe(index) for index in range(len(split))]
    counts = sum_over_workers(np.array([name in skipped.found for name in names], np.float64))
    return [name for name, count in zip(names, counts, strict=True) if count]


def _table(about: dict[str, str], result: Evaluation, damaged: list[str] | None, others: dict[str, Any]) -> str:
    rows = {
        **about,
        "Top-1": f"{result.top1:.2f} %",
        "Top-5": f"{result.top5:.2f} %",
        "loss": f"{result.loss:.4f}",
        "images": f"{result.num_images:,}",
    }
    if others:
        rows["left out"] = f"{others['images_of_other_classes']:,} of other classes: {_shown(others['other_classes'])}"
    if damaged is not None:
        rows["skipped"] = f"{len(damaged):,} damaged{': ' if damaged else ''}{_shown(damaged)}"
    return "\n".join(f"{key:<8} {value}" for key, value in rows.items())


def _shown(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
