"""What a run says of itself before its first step and after its last."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mindvit.files import write_text
from mindvit.training.run import Run


@dataclass(frozen=True)
class Summary:
    """What a run came to; ``summary.json``. Accuracies are those of the best weights, in percent."""

    top1: float | None
    top5: float | None
    num_images: int | None
    """Pictures that the accuracies were measured on."""
    best_epoch: int | None
    best_weights: str | None
    """Which weights were best: raw, ema or swa."""
    epochs: int
    """Epochs trained."""
    train_seconds: float
    """Time of the training in all sittings, compilation and evaluations included."""
    images_per_second: float | None
    """Training pictures per second, without compilation and evaluations; null where the last sitting trained none."""


def plan(run: Run) -> str:
    """A table of what is to be done."""
    recipe, config, course, data = run.recipe, run.network.config, run.course, run.source
    size = sum(parameter.size for parameter in run.network.get_parameters())
    held_out = f"{len(data.val):,} for validation" if data.val else "none for validation"
    names = data.train.classes.names
    rates = run.engine.step.learning_rates.asnumpy()
    repeats = "" if course.repeats == 1 else f", to 1/{course.repeats} of the pictures, {course.repeats} times each"
    pixels = "x".join(map(str, config.image_shape))
    rows = {
        "model": f"{recipe.model.name}, {pixels} px in patches of {config.patch_size}, {size:,} parameters",
        "weights": recipe.model.checkpoint or "fresh",
        "teacher": recipe.distill.teacher or "none",
        "data": f"{recipe.data.source}, {recipe.data.path}: {len(data.train):,} pictures to train on, {held_out}",
        "classes": f"{len(names)}: {', '.join(names[:6])}{', …' if len(names) > 6 else ''}",
        "device": f"{run.runtime.device}, precision {run.runtime.precision}, {run.runtime.world_size} worker(s)",
        "optimizer": f"{recipe.optimizer.name}, learning rate {rates[0]:.3g}, at most {rates.max():.3g}, "
        f"{rates[-1]:.3g} at the end ({recipe.schedule.name})",
        "groups": run.engine.groups.replace("\n", "\n" + " " * 11),
        "steps": f"{run.state.total_steps:,}, {course.steps_per_epoch:,} an epoch; "
        f"{course.batch_size * course.num_shards:,} pictures a step{repeats}",
        "output": recipe.output_dir,
    }
    if run.state.step:
        rows["goes on"] = f"after step {run.state.step:,}"
    return "\n".join(f"{key:<10} {value}" for key, value in rows.items())


def summarise(run: Run, images_per_second: float | None) -> None:
    """Writes ``summary.json`` and prints what it says.

    Args:
        run: a run that has ended.
        images_per_second: its speed; None where nothing was left to train.
    """
    folder, state = Path(run.recipe.output_dir), run.state
    best = state.best[0] if state.best else {}
    summary = Summary(
        top1=best.get("top1"),
        top5=best.get("top5"),
        num_images=best.get("num_images"),
        best_epoch=best.get("epoch"),
        best_weights=best["weights"] or "raw" if best else None,
        epochs=state.epoch,
        train_seconds=round(state.seconds, 2),
        images_per_second=images_per_second,
    )
    write_text(folder / "summary.json", json.dumps(asdict(summary), indent=2) + "\n")
    if best:
        kind = f", {summary.best_weights} weights" if best["weights"] else ""
        print(f"best epoch {summary.best_epoch}{kind}: Top-1 {summary.top1:.2f} %, Top-5 {summary.top5:.2f} %", end=" ")
        print(f"on {summary.num_images} pictures ({folder / 'best.ckpt'})")
    speed = f" at {images_per_second:.0f} images/s" if images_per_second else ""
    print(f"trained in {summary.train_seconds:.0f} s{speed}; see {folder}")
