"""A training run, from its recipe to its folder of results."""

import json
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import yaml
from mindspore.train import Model

from mindvit.data.damage import naming_damaged_pictures
from mindvit.data.pipeline import eval_pipeline, train_pipeline
from mindvit.data.sources import DEFAULT_PATHS, open_source
from mindvit.data.split import Source
from mindvit.errors import UserError
from mindvit.evaluation.metrics import EvaluationCell, metrics
from mindvit.factory import ModelSettings, create_model
from mindvit.files import make_folder, write_text
from mindvit.losses import CrossEntropySmooth
from mindvit.models.vit import ViT
from mindvit.runtime import Runtime, loss_scaling, start, with_precision
from mindvit.training.callbacks.checkpoints import Checkpoints
from mindvit.training.callbacks.curves import Curves
from mindvit.training.callbacks.evaluate import Evaluate
from mindvit.training.callbacks.metrics_log import MetricsLog
from mindvit.training.callbacks.progress import ProgressBar
from mindvit.training.callbacks.record import EpochRecord
from mindvit.training.callbacks.stop import StopOnSignal
from mindvit.training.optimizers import make_optimizer
from mindvit.training.recipe import Recipe
from mindvit.training.schedules import learning_rates
from mindvit.weights.passport import Passport


@dataclass(frozen=True)
class Summary:
    """What a run came to; ``summary.json``. Accuracies are those of the best epoch, in percent."""

    top1: float | None
    top5: float | None
    num_images: int | None
    """Pictures that the accuracies were measured on."""
    best_epoch: int | None
    epochs: int
    train_seconds: float
    """Wall time of the training, compilation and evaluations included."""
    images_per_second: float
    """Training pictures per second, without compilation and evaluations."""


def train(recipe: Recipe) -> None:
    """Trains a Vision Transformer and writes the run's folder.

    The folder receives ``config.yaml`` at the start; ``metrics.jsonl``, ``last.ckpt``, ``best.ckpt`` and ``curves.png``
    as the run goes; and ``summary.json`` at the end.

    Raises:
        UserError: for any mistake in the settings, the data or the checkpoint to start from.
        KeyboardInterrupt: after an orderly stop by Ctrl-C or SIGTERM, saying what was kept.
    """
    runtime = start(recipe.runtime, recipe.train.seed)
    folder = Path(recipe.output_dir)
    if runtime.is_main:
        _check_free(folder, recipe.overwrite)
    source = _training_source(recipe)
    network = create_model(
        recipe.model.name,
        num_classes=len(source.train.classes),
        checkpoint=recipe.model.checkpoint,
        reset_head=recipe.model.reset_head,
        download=recipe.download,
        **recipe.model.overrides(),
    )
    recipe = _resolve(recipe, runtime, source, network)

    place = {"rank": runtime.rank, "num_shards": runtime.world_size}
    batch_size, num_workers = recipe.data.batch_size, recipe.data.num_workers
    pictures = train_pipeline(source.train, network.config, recipe.augment, batch_size, num_workers, **place)
    steps_per_epoch = pictures.get_dataset_size()
    rates = learning_rates(recipe.schedule, recipe.optimizer.lr, recipe.train.epochs, steps_per_epoch)

    computed = with_precision(network, runtime)
    model = Model(
        computed,
        loss_fn=CrossEntropySmooth(network.config.num_classes, recipe.loss.label_smoothing),
        optimizer=make_optimizer(recipe.optimizer, network.trainable_params(), rates),
        metrics=metrics(),
        eval_network=EvaluationCell(computed),
        loss_scale_manager=loss_scaling(runtime),
    )

    stop = StopOnSignal()
    record = EpochRecord(rates, batch_size * runtime.world_size)
    callbacks = [record]
    if source.val is not None:
        held_out = eval_pipeline(source.val, network.config, batch_size, num_workers, **place)
        callbacks.append(Evaluate(model, held_out, stop))
    if runtime.is_main:
        _claim(folder, recipe)
        print(_plan(recipe, runtime, source, network, steps_per_epoch), flush=True)
        checkpoints = Checkpoints(folder, network, _passport(recipe, source, network))
        callbacks += [
            ProgressBar(record, recipe.train.epochs, len(rates)),
            MetricsLog(folder / "metrics.jsonl", record, recipe.train.log_steps),
            Curves(folder / "metrics.jsonl", folder / "curves.png"),
            checkpoints,
        ]

    started = time.perf_counter()
    try:
        with naming_damaged_pictures(*filter(None, (source.train, source.val))):
            model.train(recipe.train.epochs, pictures, callbacks=[*callbacks, stop], dataset_sink_mode=False)
        if stop.received:
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_what_was_kept(folder, checkpoints, len(rates)) if runtime.is_main else "") from None
    if runtime.is_main:
        _summarise(folder, recipe, checkpoints, record, time.perf_counter() - started)


def _check_free(folder: Path, overwrite: bool) -> None:
    make_folder(folder)
    if (folder / "config.yaml").exists() and not overwrite:
        raise UserError(
            f"{folder} already holds a run; choose another folder with --output_dir, "
            "or write over it with --overwrite true"
        )


def _claim(folder: Path, recipe: Recipe) -> None:
    for name in ("summary.json", "curves.png", "best.ckpt", "last.ckpt"):
        (folder / name).unlink(missing_ok=True)
    write_text(folder / "config.yaml", yaml.safe_dump(_plain(recipe), sort_keys=False, allow_unicode=True))


def _training_source(recipe: Recipe) -> Source:
    source = open_source(recipe.data.source, recipe.data.path, recipe.download)
    if source.train is None:
        raise UserError(f"{source.val.origin} is there, but no train folder beside it to train on")
    return replace(source, val=None) if source.val is source.train else source


def _resolve(recipe: Recipe, runtime: Runtime, source: Source, network: ViT) -> Recipe:
    """The recipe with every setting that was left to the program replaced by what it came to."""
    settled = {**asdict(network.config), **asdict(network.config.preprocessing)}
    names = {item.name for item in fields(ModelSettings)} & settled.keys()
    return replace(
        recipe,
        model=replace(recipe.model, **{name: settled[name] for name in names}),
        data=replace(recipe.data, path=recipe.data.path or str(DEFAULT_PATHS[recipe.data.source])),
        augment=replace(recipe.augment, flip=source.train.flip if recipe.augment.flip is None else recipe.augment.flip),
        runtime=replace(recipe.runtime, device=runtime.device, precision=runtime.precision),
        overwrite=False,  # An act, not a property of the run: repeating the config must not write over this one.
    )


def _passport(recipe: Recipe, source: Source, network: ViT) -> Passport:
    return Passport(
        model_name=recipe.model.name,
        model=network.config,
        classes=source.train.classes,
        data_source=recipe.data.source,
        data_path=recipe.data.path,
    )


def _plan(recipe: Recipe, runtime: Runtime, source: Source, network: ViT, steps_per_epoch: int) -> str:
    config = network.config
    size = sum(parameter.size for parameter in network.trainable_params())
    held_out = f"{len(source.val):,} for validation" if source.val else "none for validation"
    names = source.train.classes.names
    rows = {
        "model": f"{recipe.model.name}, {config.image_size} px in patches of {config.patch_size}, {size:,} parameters",
        "weights": recipe.model.checkpoint or "fresh",
        "data": f"{recipe.data.source}, {recipe.data.path}: {len(source.train):,} pictures to train on, {held_out}",
        "classes": f"{len(names)}: {', '.join(names[:6])}{', …' if len(names) > 6 else ''}",
        "device": f"{runtime.device}, precision {runtime.precision}, {runtime.world_size} worker(s)",
        "optimizer": f"{recipe.optimizer.name}, learning rate {recipe.optimizer.lr:g} "
        f"after {recipe.schedule.warmup_epochs:g} epochs of warm-up",
        "steps": f"{recipe.train.epochs} epochs of {steps_per_epoch} steps, "
        f"{recipe.data.batch_size * runtime.world_size} pictures a step",
        "output": recipe.output_dir,
    }
    return "\n".join(f"{key:<10} {value}" for key, value in rows.items())


def _summarise(folder: Path, recipe: Recipe, checkpoints: Checkpoints, record: EpochRecord, seconds: float) -> None:
    best = checkpoints.best or {}
    summary = Summary(
        top1=best.get("top1"),
        top5=best.get("top5"),
        num_images=best.get("num_images"),
        best_epoch=best.get("epoch"),
        epochs=recipe.train.epochs,
        train_seconds=round(seconds, 2),
        images_per_second=round(record.total_images / record.total_seconds, 2),
    )
    write_text(folder / "summary.json", json.dumps(asdict(summary), indent=2) + "\n")
    if best:
        print(f"best epoch {summary.best_epoch}: Top-1 {summary.top1:.2f} %, Top-5 {summary.top5:.2f} %", end=" ")
        print(f"on {summary.num_images} pictures ({folder / 'best.ckpt'})")
    print(f"trained in {summary.train_seconds:.0f} s at {summary.images_per_second:.0f} images/s; see {folder}")


def _what_was_kept(folder: Path, checkpoints: Checkpoints, total_steps: int) -> str:
    if checkpoints.last is None:
        return "stopped before the end of the first epoch; nothing was kept"
    kept = f"stopped; kept {folder / 'last.ckpt'} (step {checkpoints.last['step']} of {total_steps})"
    if checkpoints.best:
        kept += f" and {folder / 'best.ckpt'} (epoch {checkpoints.best['epoch']})"
    return kept


def _plain(recipe: Recipe) -> dict:
    return json.loads(json.dumps(asdict(recipe)))
