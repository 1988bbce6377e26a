"""A training run, from its recipe to its folder of results."""

from pathlib import Path

import yaml
from mindspore.dataset import Dataset
from mindspore.train import Callback, RunContext

from mindvit.data.damage import Skipped, naming_damaged_pictures
from mindvit.data.pipeline import eval_pipeline, train_pipeline
from mindvit.files import make_folder
from mindvit.models.counting import forward_flops, training_flops
from mindvit.runtime import measured_flops
from mindvit.training.callbacks.average import AverageWeights
from mindvit.training.callbacks.checkpoints import Checkpoints
from mindvit.training.callbacks.curves import Curves
from mindvit.training.callbacks.early_stop import EarlyStop
from mindvit.training.callbacks.evaluate import Evaluate
from mindvit.training.callbacks.metrics_log import MetricsLog
from mindvit.training.callbacks.progress import ProgressBar
from mindvit.training.callbacks.record import EpochRecord, Pace
from mindvit.training.callbacks.sinking import StepsForEpochs
from mindvit.training.callbacks.states import KeepStates
from mindvit.training.callbacks.stop import StopOnSignal
from mindvit.training.callbacks.tensorboard import TensorBoard
from mindvit.training.preparation import prepare
from mindvit.training.recipe import Recipe
from mindvit.training.reports import plan, summarise
from mindvit.training.run import Run, plain
from mindvit.training.run_folder import RunFolder
from mindvit.workers import gather, share


def train(recipe: Recipe) -> None:
    """Trains a Vision Transformer and writes the run's folder.

    The folder receives ``config.yaml`` at the start; ``metrics.jsonl``, weights, states to go on from and
    ``curves.png`` as the run goes; and ``summary.json`` at the end.

    Raises:
        UserError: for any mistake in the settings, the data or the checkpoint to start from, and where the loss
            ceases to be a number.
        KeyboardInterrupt: after an orderly stop by Ctrl-C or SIGTERM, saying how to go on.
    """
    run = prepare(recipe)
    folder = RunFolder(Path(recipe.output_dir))
    skipped = Skipped(make_folder(folder.path) / "damaged.txt") if recipe.data.damaged == "skip" else None
    pictures = _pictures(run, skipped)
    record = EpochRecord(
        run.state,
        _pace(run),
        scaled=run.engine.step.scaler is not None,
        max_skipped=recipe.train.max_skipped_steps,
        last_good=folder.last_state,
        skipped_images=skipped,
    )
    stop = StopOnSignal(record, run.engine.step, run.runtime.world_size)
    callbacks = _callbacks(run, record, stop, skipped)
    if run.runtime.is_main:
        folder.claim(yaml.safe_dump(plain(run.recipe), sort_keys=False, allow_unicode=True), run.state)
        print(plan(run), flush=True)
        callbacks += [*_reporters(run, folder, record), _weight_keeper(run, record)]
    keep_states = _state_keeper(run, record)

    try:
        with naming_damaged_pictures(*filter(None, (run.source.train, run.source.val))):
            _train(run, pictures, [*callbacks, keep_states, stop], stop)
        if stop.agreed and (run.state.step < run.state.total_steps or run.state.is_unrecorded):
            if not share(folder.has_state_of(run.state)):
                keep_states.save()
            gather("kept")  # The first worker that leaves has the others ended.
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise KeyboardInterrupt(folder.how_to_go_on(run.runtime.world_size) if run.runtime.is_main else "") from None
    if run.runtime.is_main:
        summarise(run, record.average_speed)


def _pictures(run: Run, skipped: Skipped | None) -> Dataset:
    recipe, split = run.recipe, run.source.train
    where = {"first_step": run.state.step, "skipped": skipped}
    return train_pipeline(split, run.network.config, recipe.augment, run.course, recipe.data.num_workers, **where)


def _pace(run: Run) -> Pace:
    given, workers = run.recipe.runtime.peak_tflops, run.runtime.world_size
    peak = measured_flops(run.runtime) if given is None else given * 1e12
    flops = training_flops(run.network.config)
    if run.engine.teacher is not None:
        flops += forward_flops(run.engine.teacher)
    return Pace(run.course.batch_size * workers, flops, peak * workers)


def _callbacks(run: Run, record: EpochRecord, stop: StopOnSignal, skipped: Skipped | None) -> list[Callback]:
    """What every worker does beside the steps."""
    recipe, engine = run.recipe, run.engine
    callbacks = [record]
    if engine.swa is not None:
        callbacks.append(AverageWeights(engine.swa, run.state, recipe.average.swa_start_epoch))
    if run.source.val is not None:
        held_out = eval_pipeline(
            run.source.val,
            run.network.config,
            recipe.data.batch_size,
            recipe.data.num_workers,
            run.runtime.rank,
            run.runtime.world_size,
            skipped,
        )
        callbacks.append(Evaluate(record, engine.models, held_out, stop, engine.swa))
    if recipe.train.patience is not None:
        callbacks.append(EarlyStop(record, run.state, recipe.checkpoint.metric, recipe.train.patience))
    return callbacks


def _reporters(run: Run, folder: RunFolder, record: EpochRecord) -> list[Callback]:
    """What the worker who writes tells as the run goes."""
    log_steps = run.recipe.train.log_steps
    reporters = [
        ProgressBar(record, run.state, run.epochs),
        MetricsLog(folder.metrics, record, run.state, log_steps),
        Curves(folder.metrics, folder.path / "curves.png"),
    ]
    if run.recipe.train.tensorboard:
        reporters.append(TensorBoard(folder.path / "tensorboard", record, run.state, log_steps))
    return reporters


def _weight_keeper(run: Run, record: EpochRecord) -> Checkpoints:
    engine = run.engine
    weights = {"": lambda: {parameter.name: parameter for parameter in run.network.get_parameters()}}
    if engine.ema is not None:
        weights["ema"] = engine.ema.tensors
    if engine.swa is not None:
        weights["swa"] = lambda: engine.swa.tensors() if engine.swa.has_begun else None
    folder, settings = Path(run.recipe.output_dir), run.recipe.checkpoint
    return Checkpoints(folder, weights, run.passport, record, run.state, settings)


def _state_keeper(run: Run, record: EpochRecord) -> KeepStates:
    folder, step, averages = Path(run.recipe.output_dir), run.engine.step, run.engine.averages
    writes = run.runtime.is_main
    return KeepStates(folder, step, averages, record, run.state, run.settings, run.recipe.checkpoint, writes)


def _train(run: Run, pictures: Dataset, callbacks: list[Callback], stop: StopOnSignal) -> None:
    """Trains to the end of the run, beginning with the evaluation that an interrupted run may owe."""
    state = run.state
    if state.is_unrecorded:
        context = RunContext({})
        with stop:
            for callback in callbacks:
                callback.on_train_epoch_end(context)
    stopped_early = any(isinstance(callback, EarlyStop) and callback.is_due for callback in callbacks)
    if stop.agreed or stopped_early or state.step >= state.total_steps:
        return
    model = run.engine.models[""]
    if run.runtime.data_sink:
        callbacks, epochs, begun = [StepsForEpochs(callbacks, state)], state.total_steps, state.step
    else:
        epochs, begun = run.epochs, state.step // state.steps_per_epoch
    queue = {"dataset_sink_mode": run.runtime.data_sink, "sink_size": 1 if run.runtime.data_sink else -1}
    model.train(epochs, pictures, callbacks, initial_epoch=begun, **queue)
