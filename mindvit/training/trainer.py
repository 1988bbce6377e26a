"""A training run, from its recipe to its folder of results."""

import json
import shutil
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import yaml
from mindspore import Tensor
from mindspore.dataset import Dataset
from mindspore.train import Callback, Model, RunContext

from mindvit.data.damage import Skipped, naming_damaged_pictures
from mindvit.data.pipeline import eval_pipeline, train_pipeline
from mindvit.data.sources import DEFAULT_PATHS, open_source
from mindvit.data.split import Source
from mindvit.data.visits import Course
from mindvit.errors import UserError
from mindvit.factory import ModelSettings, create_model
from mindvit.files import make_folder, remove_leftovers, write_text
from mindvit.models.flops import training_flops
from mindvit.models.vit import ViT
from mindvit.runtime import Runtime, measured_flops, start
from mindvit.training.assembly import Engine, assemble
from mindvit.training.callbacks.average import AverageWeights
from mindvit.training.callbacks.checkpoints import Checkpoints
from mindvit.training.callbacks.curves import Curves
from mindvit.training.callbacks.early_stop import EarlyStop
from mindvit.training.callbacks.evaluate import Evaluate
from mindvit.training.callbacks.metrics_log import MetricsLog
from mindvit.training.callbacks.progress import ProgressBar
from mindvit.training.callbacks.record import EpochRecord, Pace
from mindvit.training.callbacks.states import KeepStates
from mindvit.training.callbacks.stop import StopOnSignal
from mindvit.training.callbacks.tensorboard import TensorBoard
from mindvit.training.recipe import Recipe
from mindvit.training.run_state import RunState
from mindvit.training.states import Saved, differences, list_states, load_state, newest_state, read_state, step_of
from mindvit.weights.passport import Passport


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


@dataclass(frozen=True)
class _Outputs:
    """The callbacks that the worker who writes has, and the others have not."""

    checkpoints: Checkpoints
    states: KeepStates


def train(recipe: Recipe) -> None:
    """Trains a Vision Transformer and writes the run's folder.

    The folder receives ``config.yaml`` at the start; ``metrics.jsonl``, weights, states to go on from and
    ``curves.png`` as the run goes; and ``summary.json`` at the end.

    Raises:
        UserError: for any mistake in the settings, the data or the checkpoint to start from, and where the loss
            ceases to be a number.
        KeyboardInterrupt: after an orderly stop by Ctrl-C or SIGTERM, saying how to go on.
    """
    runtime = start(recipe.runtime, recipe.train.seed)
    folder = Path(recipe.output_dir)
    saved = _state_to_go_on_from(recipe, folder)
    if runtime.is_main:
        _check_free(folder, recipe, saved)
    source = _training_source(recipe)
    network = create_model(
        recipe.model.name,
        num_classes=len(source.train.classes),
        checkpoint=recipe.model.checkpoint,
        reset_head=recipe.model.reset_head,
        download=recipe.download,
        **recipe.model.overrides(),
    )
    allow_changes = recipe.allow_changes
    recipe = _resolve(recipe, runtime, source, network)
    course = Course(
        len(source.train),
        recipe.data.batch_size * recipe.train.accumulate_steps,
        recipe.train.seed,
        recipe.augment.repeats,
        runtime.rank,
        runtime.world_size,
    )
    course.check(source.train.origin)
    total_steps = recipe.train.steps or recipe.train.epochs * course.steps_per_epoch
    engine = assemble(recipe, runtime, network, course, total_steps)
    state = RunState(course.steps_per_epoch, total_steps)
    if saved is not None:
        state = _go_on(saved, recipe, allow_changes, engine, state)
    _run(recipe, runtime, source, network, course, engine, state)


def _run(
    recipe: Recipe, runtime: Runtime, source: Source, network: ViT, course: Course, engine: Engine, state: RunState
) -> None:
    folder, num_workers = Path(recipe.output_dir), recipe.data.num_workers
    skipped = Skipped(folder / "damaged.txt") if recipe.data.damaged == "skip" else None
    place = (course.rank, course.num_shards)
    pictures = train_pipeline(source.train, network.config, recipe.augment, course, num_workers, state.step, skipped)
    stop = StopOnSignal()
    record = EpochRecord(
        state,
        _pace(recipe, runtime, network, course),
        scaled=engine.step.scaler is not None,
        max_skipped=recipe.train.max_skipped_steps,
        last_good=lambda: _last_state(folder),
        skipped_images=skipped,
    )
    swa = engine.swa and AverageWeights(engine.swa, state, recipe.average.swa_start_epoch)
    callbacks = [record, *filter(None, [swa])]
    if source.val is not None:
        held_out = eval_pipeline(source.val, network.config, recipe.data.batch_size, num_workers, *place, skipped)
        callbacks.append(Evaluate(record, engine.models, held_out, stop, swa))
    if recipe.train.patience is not None:
        callbacks.append(EarlyStop(record, state, recipe.checkpoint.metric, recipe.train.patience))
    outputs = None
    if runtime.is_main:
        _claim(folder, recipe, state)
        print(_plan(recipe, runtime, source, network, course, engine, state), flush=True)
        outputs = _outputs(folder, recipe, source, network, engine, record, state, swa)
        callbacks += [*_reports(folder, recipe, record, state), outputs.checkpoints, outputs.states]

    try:
        with naming_damaged_pictures(*filter(None, (source.train, source.val))):
            _train(engine.models[""], pictures, [*callbacks, stop], state, stop)
        if stop.received and (state.step < state.total_steps or state.is_unrecorded):
            if outputs is not None and not _is_saved(folder, state):
                outputs.states.save()
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_how_to_go_on(folder) if runtime.is_main else "") from None
    if runtime.is_main:
        _summarise(folder, state, record)


def _train(model: Model, pictures: Dataset, callbacks: list[Callback], state: RunState, stop: StopOnSignal) -> None:
    """Trains to the end of the run, beginning with the evaluation that an interrupted run may owe."""
    if state.is_unrecorded:
        context = RunContext({})
        with stop:
            for callback in callbacks:
                callback.on_train_epoch_end(context)
    if stop.received or state.step >= state.total_steps or _is_stopped_early(callbacks):
        return
    epochs = -(-state.total_steps // state.steps_per_epoch)
    begun = state.step // state.steps_per_epoch
    model.train(epochs, pictures, callbacks=callbacks, dataset_sink_mode=False, initial_epoch=begun)


def _is_stopped_early(callbacks: list[Callback]) -> bool:
    return any(isinstance(callback, EarlyStop) and callback.is_due for callback in callbacks)


def _state_to_go_on_from(recipe: Recipe, folder: Path) -> Saved | None:
    if recipe.resume is None:
        return None
    if recipe.resume == "auto":
        return newest_state(folder / "states")
    return read_state(Path(recipe.resume))


def _check_free(folder: Path, recipe: Recipe, saved: Saved | None) -> None:
    make_folder(folder)
    goes_on_here = recipe.resume == "auto" or (saved and saved.path.resolve().parent.parent == folder.resolve())
    if (folder / "config.yaml").exists() and not recipe.overwrite and not goes_on_here:
        raise UserError(
            f"{folder} already holds a run; go on with it with --resume auto, choose another folder with --output_dir, "
            "or write over it with --overwrite true"
        )


def _go_on(saved: Saved, recipe: Recipe, allow_changes: bool, engine: Engine, planned: RunState) -> RunState:
    """Puts a saved state in place; where settings have changed, its position is that of the planned run.

    Raises:
        UserError: if settings have changed and that is not allowed, or the state's tensors do not fit.
    """
    changed = differences(saved.recipe, _settings(recipe, engine))
    if changed and not allow_changes:
        raise UserError(
            f"{saved.path} was written under other settings: {'; '.join(changed)}. "
            "Go on with the old ones (config.yaml of its folder), or take the new ones with --allow_changes true"
        )
    load_state(saved, engine.step, engine.averages)
    state = saved.state
    if state.steps_per_epoch != planned.steps_per_epoch:
        share = planned.steps_per_epoch / state.steps_per_epoch
        state.step, state.losses, state.norms = round(state.step * share), [], []
        updates = round(engine.step.optimizer.step.asnumpy().item() * share)
        engine.step.optimizer.step.set_data(Tensor(updates, engine.step.optimizer.step.dtype))
    state.steps_per_epoch, state.total_steps = planned.steps_per_epoch, planned.total_steps
    state.best = [entry for entry in state.best if (Path(recipe.output_dir) / entry["file"]).exists()]
    return state


def _claim(folder: Path, recipe: Recipe, state: RunState) -> None:
    """Clears the folder of what does not belong to the run, and writes its settings."""
    if state.step == 0:
        for name in ("summary.json", "curves.png", "damaged.txt", *(p.name for p in folder.glob("*.ckpt"))):
            (folder / name).unlink(missing_ok=True)
        for name in ("states", "checkpoints", "tensorboard"):
            shutil.rmtree(folder / name, ignore_errors=True)
    for place in (folder, folder / "states", folder / "checkpoints"):
        remove_leftovers(place)
    for path in list_states(folder / "states"):
        if step_of(path) > state.step:
            path.unlink()
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
        # Acts, not properties of the run: repeating the config must neither write over this one nor go on with it.
        overwrite=False,
        resume=None,
        allow_changes=False,
    )


def _pace(recipe: Recipe, runtime: Runtime, network: ViT, course: Course) -> Pace:
    given = recipe.runtime.peak_tflops
    peak = measured_flops(runtime) if given is None else given * 1e12
    return Pace(course.batch_size * course.num_shards, training_flops(network.config), peak * course.num_shards)


def _outputs(
    folder: Path,
    recipe: Recipe,
    source: Source,
    network: ViT,
    engine: Engine,
    record: EpochRecord,
    state: RunState,
    swa: AverageWeights | None,
) -> _Outputs:
    weights = {"": lambda: {parameter.name: parameter for parameter in network.get_parameters()}}
    if engine.ema is not None:
        weights["ema"] = engine.ema.tensors
    if swa is not None:
        weights["swa"] = lambda: engine.swa.tensors() if swa.has_begun else None
    passport = Passport(
        model_name=recipe.model.name,
        model=network.config,
        classes=source.train.classes,
        data_source=recipe.data.source,
        data_path=recipe.data.path,
    )
    return _Outputs(
        Checkpoints(folder, weights, passport, record, state, recipe.checkpoint),
        KeepStates(folder, engine.step, engine.averages, record, state, _settings(recipe, engine), recipe.checkpoint),
    )


def _reports(folder: Path, recipe: Recipe, record: EpochRecord, state: RunState) -> list[Callback]:
    epochs = -(-state.total_steps // state.steps_per_epoch)
    reports = [
        ProgressBar(record, state, epochs),
        MetricsLog(folder / "metrics.jsonl", record, state, recipe.train.log_steps),
        Curves(folder / "metrics.jsonl", folder / "curves.png"),
    ]
    if recipe.train.tensorboard:
        reports.append(TensorBoard(folder / "tensorboard", record, state, recipe.train.log_steps))
    return reports


def _plan(
    recipe: Recipe,
    runtime: Runtime,
    source: Source,
    network: ViT,
    course: Course,
    engine: Engine,
    state: RunState,
) -> str:
    config = network.config
    size = sum(parameter.size for parameter in network.get_parameters())
    held_out = f"{len(source.val):,} for validation" if source.val else "none for validation"
    names = source.train.classes.names
    rates = engine.step.learning_rates.asnumpy()
    epoch = "" if course.repeats == 1 else f", to 1/{course.repeats} of the pictures, {course.repeats} times each"
    rows = {
        "model": f"{recipe.model.name}, {config.image_size} px in patches of {config.patch_size}, {size:,} parameters",
        "weights": recipe.model.checkpoint or "fresh",
        "data": f"{recipe.data.source}, {recipe.data.path}: {len(source.train):,} pictures to train on, {held_out}",
        "classes": f"{len(names)}: {', '.join(names[:6])}{', …' if len(names) > 6 else ''}",
        "device": f"{runtime.device}, precision {runtime.precision}, {runtime.world_size} worker(s)",
        "optimizer": f"{recipe.optimizer.name}, learning rate {rates[0]:.3g}, at most {rates.max():.3g}, "
        f"{rates[-1]:.3g} at the end ({recipe.schedule.name})",
        "groups": engine.groups.replace("\n", "\n" + " " * 11),
        "steps": f"{state.total_steps:,}, {course.steps_per_epoch:,} an epoch; "
        f"{course.batch_size * course.num_shards:,} pictures a step{epoch}",
        "output": recipe.output_dir,
    }
    if state.step:
        rows["goes on"] = f"after step {state.step:,}"
    return "\n".join(f"{key:<10} {value}" for key, value in rows.items())


def _summarise(folder: Path, state: RunState, record: EpochRecord) -> None:
    best = state.best[0] if state.best else {}
    summary = Summary(
        top1=best.get("top1"),
        top5=best.get("top5"),
        num_images=best.get("num_images"),
        best_epoch=best.get("epoch"),
        best_weights=best["weights"] or "raw" if best else None,
        epochs=state.epoch,
        train_seconds=round(state.seconds, 2),
        images_per_second=round(record.total_images / record.total_seconds, 2) if record.total_images else None,
    )
    write_text(folder / "summary.json", json.dumps(asdict(summary), indent=2) + "\n")
    if best:
        kind = f", {summary.best_weights} weights" if summary.best_weights != "raw" else ""
        print(f"best epoch {summary.best_epoch}{kind}: Top-1 {summary.top1:.2f} %, Top-5 {summary.top5:.2f} %", end=" ")
        print(f"on {summary.num_images} pictures ({folder / 'best.ckpt'})")
    speed = f" at {summary.images_per_second:.0f} images/s" if summary.images_per_second else ""
    print(f"trained in {summary.train_seconds:.0f} s{speed}; see {folder}")


def _is_saved(folder: Path, state: RunState) -> bool:
    saved = list_states(folder / "states")
    return bool(saved) and step_of(saved[-1]) == state.step


def _last_state(folder: Path) -> str:
    saved = list_states(folder / "states")
    return f"The last good state is {saved[-1]}." if saved else "No state had been kept yet."


def _how_to_go_on(folder: Path) -> str:
    saved = list_states(folder / "states")
    if not saved:
        return "stopped before the first state; nothing was kept"
    return f"stopped; kept {saved[-1]}. Go on with: python train.py --config {folder / 'config.yaml'} --resume auto"


def _settings(recipe: Recipe, engine: Engine) -> dict:
    """What a state says of the run that wrote it: all settings, and the number of workers."""
    return {**_plain(recipe), "workers": engine.step.world_size}


def _plain(recipe: Recipe) -> dict:
    return json.loads(json.dumps(asdict(recipe)))
