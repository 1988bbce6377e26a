"""What a run prints before its first step, and what it reports at its end."""

import sys
from dataclasses import asdict, dataclass

from mindvit.console import fit_text, terminal_columns
from mindvit.data.class_balance import UNBALANCED, describe_balance, images_per_class, imbalance_ratio
from mindvit.files import write_text
from mindvit.printable import printable
from mindvit.run_metrics import WeightsKind, shows_top5
from mindvit.strict_json import dump_json
from mindvit.training.run import Run

_MAX_NAMES = 500
"""Characters of the class names in the overview."""


@dataclass(frozen=True)
class Summary:
    """The result of a run: ``summary.json``. Accuracies are those of the best weights."""

    top1: float | None
    """Top-1 accuracy, in percent; null without validation images."""
    top5: float | None
    """Top-5 accuracy, in percent; null without validation images. It is 100 with five classes or fewer."""
    num_images: int | None
    """Validation images."""
    best_epoch: int | None
    """Epoch of the best weights, from 1."""
    best_weights: str | None
    """Which weights were best: raw, ema or swa."""
    epochs: int
    """Epochs trained."""
    stopped_early: bool
    """Whether early stopping ended the run (``train.patience``)."""
    train_seconds: float
    """Training time of all sessions in seconds, compilation and evaluations included."""
    images_per_second: float | None
    """Training images per second, without compilation and evaluations; null if the last session trained no step."""


def run_overview(run: Run) -> str:
    """The table of what the run will do."""
    recipe, config, plan, data = run.recipe, run.network.config, run.plan, run.source
    size = sum(parameter.size for parameter in run.network.get_parameters())
    held_out = f"{len(data.val):,} for validation" if data.val else "none for validation"
    if data.divided is not None:
        held_out += f" (data.val_fraction {recipe.data.val_fraction:g})"
    names = data.train.classes.names
    rates = run.components.step.learning_rates.asnumpy()
    repeats = "" if plan.repeated_aug == 1 else f", 1/{plan.repeated_aug} of them different (repeated augmentation)"
    pixels = "x".join(map(str, config.image_shape))
    ranks = f"{run.runtime.world_size} rank{'' if run.runtime.world_size == 1 else 's'}"
    rows = {
        "model": f"{recipe.model.name}, {pixels} px, patch size {config.patch_size}, {size:,} parameters",
        "weights": recipe.model.checkpoint or "random initialization",
        "teacher": recipe.distill.teacher or "none",
        "data": f"{recipe.data.source}, {printable(str(recipe.data.path))}: "
        f"{len(data.train):,} training images, {held_out}",
        "classes": f"{len(names)}: {printable(', '.join(names[:6]), _MAX_NAMES)}{', …' if len(names) > 6 else ''}",
        "balance": _balance(run),
        "device": f"{run.runtime.device}, amp_level {run.runtime.amp_level}, {ranks}",
        "optimizer": f"{recipe.optimizer.name}, learning rate {rates[0]:.3g} at the start, {rates.max():.3g} at most, "
        f"{rates[-1]:.3g} at the end ({recipe.schedule.name})",
        "groups": run.components.groups.replace("\n", "\n" + " " * 11),
        "steps": f"{run.state.total_steps:,}, {plan.steps_per_epoch:,} per epoch; "
        f"{plan.samples_per_step:,} images per step{repeats}",
        "output": recipe.output_dir,
    }
    if run.state.step:
        rows["resuming"] = f"after step {run.state.step:,}"
    return "\n".join(f"{key:<10} {value}" for key, value in rows.items())


def _balance(run: Run) -> str:
    """How many training images the classes have, and what the settings do about it."""
    recipe, train = run.recipe, run.source.train
    chosen = {
        "data.balanced_sampling": recipe.data.balanced_sampling,
        "loss.class_weights": recipe.loss.class_weights is not None,
        "loss.focal_gamma": recipe.loss.focal_gamma > 0,
    }
    used = [name for name, is_set in chosen.items() if is_set]
    if used:
        return f"{describe_balance(train)} (set: {', '.join(used)})"
    if imbalance_ratio(images_per_class(train)) < UNBALANCED:
        return describe_balance(train)
    hint = "loss.class_weights balanced or data.balanced_sampling true helps rare classes"
    return f"{describe_balance(train)}\n{' ' * 11}{hint}"


def write_summary(run: Run, images_per_second: float | None) -> Summary:
    """Writes ``summary.json`` and prints its content.

    Args:
        run: a run that has ended.
        images_per_second: its training speed; None if nothing was left to train.
    """
    state = run.state
    best = state.best[0] if state.best else None
    summary = Summary(
        top1=best and best.top1,
        top5=best and best.top5,
        num_images=best and best.num_images,
        best_epoch=best and best.epoch,
        best_weights=best and best.weights.value,
        epochs=state.epoch,
        stopped_early=state.step < state.total_steps and state.has_waited(run.recipe.train.patience),
        train_seconds=round(state.seconds, 2),
        images_per_second=images_per_second,
    )
    write_text(run.folder.summary, dump_json(asdict(summary), indent=2) + "\n")
    columns = terminal_columns(sys.stdout)
    print(fit_text(_stopping_reason(run) if summary.stopped_early else _completion(run), columns, indent=2))
    if best:
        kind = "" if best.weights is WeightsKind.RAW else f", {best.weights.value} weights"
        top5 = f", Top-5 {best.top5:.2f} %" if shows_top5(run.network.config.num_classes) else ""
        figures = f"best epoch {best.epoch}{kind}: Top-1 {best.top1:.2f} %{top5} on {best.num_images} images"
        print(fit_text(f"{figures} ({run.folder.path / 'best.ckpt'})", columns, indent=2))
    speed = f" at {images_per_second:.0f} images/s" if images_per_second else ""
    print(fit_text(f"trained in {summary.train_seconds:.0f} s{speed}; see {run.folder.path}", columns, indent=2))
    return summary


def _completion(run: Run) -> str:
    if run.recipe.train.steps is not None:
        return f"all {run.state.total_steps:,} steps are done (train.steps)"
    return f"all {run.epochs:,} epochs are done (train.epochs)"


def _stopping_reason(run: Run) -> str:
    state, metric = run.state, run.recipe.checkpoint.metric
    reason = f"stopped early after epoch {state.epoch} of {run.epochs}: "
    if state.best_score is None:
        best = f"no better {metric} in {state.epochs_without_gain} epochs"
    else:
        value = f"{state.best_score[0]:.2f} %" if metric == "top1" else f"{-state.best_score[0]:.4f}"
        best = f"no better {metric} than {value} since epoch {state.best_epoch}"
    return f"{reason}{best} (train.patience {run.recipe.train.patience})"
